"""The drawing of what a benchmark plants shows the instance table."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from genoplrp.errors import InputError
from genoplrp.plotting.benchmark_examples import plot_description, plot_examples
from genoplrp.synthetic import simulate
from genoplrp.synthetic.describe import describe


def test_every_instance_is_an_arrow_at_its_place_that_points_along_its_strand() -> None:
    data = simulate("hard_background", n=40, seed=2)
    rows = [3, 0, 7]
    arrows = [
        patch.get_xy()[:-1] for patch in plot_examples(data, rows).patches if isinstance(patch, Polygon)
    ]
    table = data.instances
    expected = [row for number in rows for row in table[table["sequence"] == number].itertuples()]
    assert len(arrows) == len(expected) > 3
    for corners, row in zip(arrows, expected, strict=True):
        assert (corners[:, 0].min(), corners[:, 0].max()) == (row.start, row.end)
        place = rows.index(row.sequence)
        assert corners[:, 1].mean() == pytest.approx(place)
        (tip,) = corners[np.isclose(corners[:, 1], place), 0]
        assert tip == (row.end if row.strand == "+" else row.start)


def test_decoys_and_broken_instances_look_unlike_core_ones() -> None:
    data = simulate("hard_background", n=20, seed=2)
    faces: dict[str, set[tuple[float, ...]]] = {}
    for row in range(20):
        roles = data.instances["role"][data.instances["sequence"] == row].tolist()
        for patch, role in zip(plot_examples(data, [row], Figure().subplots()).patches, roles, strict=True):
            faces.setdefault(role, set()).add(tuple(patch.get_facecolor()))
    assert set(faces) == {"core", "decoy", "broken"}
    assert len(faces["decoy"]) == len(faces["broken"]) == 1
    assert not faces["core"] & (faces["decoy"] | faces["broken"])


def test_shares_of_instances_sum_to_one_and_gc_content_to_one_a_class() -> None:
    found = describe("xor", n=200)
    figure = plot_description(found)
    by_label = {ax.get_xlabel(): ax for ax in figure.axes}
    assert sum(bar.get_height() for bar in by_label["instances in a sequence"].patches) == pytest.approx(1)
    for outline in by_label["GC content"].patches:
        heights, widths = outline.get_xy()[:, 1], np.diff(outline.get_xy()[:, 0])
        step = widths[widths > 0].min()
        assert (heights[1:] * widths).sum() / step == pytest.approx(1)
    drawn = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [text.split()[0] for text in drawn] == [name for name in found.classes.index for _ in range(2)]


def test_names_of_motifs_are_whole_or_end_in_an_ellipsis() -> None:
    found = describe("koo2021_fixed", n=200)
    axes = next(ax for ax in plot_description(found).axes if ax.get_images())
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert "MZF1(var.2)" in names
    assert all(name in found.similarity.index or name.endswith("…") for name in names)


def test_sequences_that_are_not_there_are_refused() -> None:
    data = simulate("xor", n=4)
    for rows in ([], [4]):
        with pytest.raises(InputError, match="name sequences from 0 to 3"):
            plot_examples(data, rows)

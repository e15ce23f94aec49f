"""Profiles: reads at each base against loops over the instances, on disk, in pieces, and in parts."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from specs import planting, small, table

from genoplrp.errors import InputError, SpecError
from genoplrp.synthetic import Dataset, dataset_of_profiles, simulate, spec_from_table
from genoplrp.synthetic.blocks import Plan
from genoplrp.synthetic.folder import write_manifest
from genoplrp.synthetic.stream import simulate_to

RANDOM = {"motifs": ["A", "B"], "count": {"kind": "uniform", "low": 0, "high": 4}}
ACTIVITY = "0.2 + 3 * sum(A, gaussian(offset - 2, 4)) - 2 * sum(B, step(offset, 3))"
PROFILE = {"name": "reads", "kind": "profile", "activity": ACTIVITY}


def expected(data: Dataset, index: int, rows: list[Any]) -> np.ndarray:
    x = np.arange(data.length) + 0.5
    rates = np.full(data.length, 0.2)
    for row in rows:
        middle, turn = (row.start + row.end) / 2, 1 if row.strand == "+" else -1
        offset = (x - middle) * turn
        if row.motif == "A":
            rates += 3 * np.exp(-(((offset - 2) / 4) ** 2) / 2)
        else:
            rates -= 2 * (np.abs(offset) <= 3)
    return np.where(x < data.lengths[index], np.maximum(rates, 0), 0)


def test_reads_are_drawn_around_the_footprints_of_the_instances() -> None:
    data = simulate(planting(RANDOM, tasks=[PROFILE]), n=4000, seed=1)
    rows = defaultdict(list)
    for row in data.instances.itertuples():
        rows[row.sequence].append(row)
    rates = np.stack([expected(data, index, rows[index]) for index in range(4000)])
    reads = data.profile("reads")
    assert reads.shape == (4000, 60) and reads.dtype == np.int32
    assert data.clean is not None
    np.testing.assert_allclose(data.clean[:, 0], rates.sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(data.labels[:, 0], reads.sum(axis=1))
    assert not reads[rates == 0].any() and (rates == 0).any()
    # Poisson at each base: the standardised differences have mean 0 and variance 1.
    z = ((reads - rates) / np.sqrt(np.maximum(rates, 1e-9)))[rates > 0]
    assert z.mean() == pytest.approx(0, abs=5 / np.sqrt(len(z)))
    assert z.var() == pytest.approx(1, abs=0.03)


def test_dispersion_moves_all_bases_of_a_sequence_together() -> None:
    data = simulate(planting({"motifs": "A"}, tasks=[PROFILE | {"dispersion": 0.5}]), n=6000, seed=1)
    assert data.clean is not None
    total, mean = data.labels[:, 0], float(data.clean.mean())
    assert total.var() == pytest.approx(mean + 0.5 * mean**2, rel=0.1)
    reads = data.profile(0)
    left, right = reads[:, :30].sum(axis=1), reads[:, 30:].sum(axis=1)
    calm = simulate(planting({"motifs": "A"}, tasks=[PROFILE]), n=6000, seed=1).profile(0)
    apart = np.corrcoef(calm[:, :30].sum(axis=1), calm[:, 30:].sum(axis=1))[0, 1]
    assert np.corrcoef(left, right)[0, 1] > apart + 0.2


def ragged() -> Any:
    tasks = [
        {"name": "label", "rule": "A"},
        PROFILE,
        PROFILE | {"name": "more", "activity": "9 * sum(A, step(offset, 2))"},
    ]
    return small(length=[40, 60], tasks=tasks)


def test_profiles_of_shorter_sequences_end_with_them_and_tasks_keep_their_own() -> None:
    data = simulate(ragged(), n=300, seed=2)
    assert data.profiles is not None and data.profiles.shape == (300, 2, 60)
    beyond = np.arange(60) >= data.lengths[:, None]
    assert not data.profile("reads")[beyond].any()
    assert set(np.unique(data.profile("more").sum(axis=1)[data.labels[:, 0] == 0])) == {0}
    assert data.profile("more").max(axis=1)[data.labels[:, 0] == 1].min() > 0
    with pytest.raises(InputError, match="'label' is binary: it has no profile"):
        data.profile("label")


def test_profiles_written_in_pieces_and_read_again_are_the_same(tmp_path: Path) -> None:
    long = replace(ragged(), length=(1900, 2000))
    data = simulate(long, n=600, seed=2)
    data.save(tmp_path / "whole")
    simulate_to(tmp_path / "pieces", long, n=600, seed=2, chunk_size=16)
    assert Plan(long, 600, 2).blocks == 2
    one, other = (tmp_path / name / "profiles.npy" for name in ("whole", "pieces"))
    assert one.read_bytes() == other.read_bytes()
    again = Dataset.load(tmp_path / "pieces")
    assert again.profiles is not None and data.profiles is not None
    np.testing.assert_array_equal(again.profiles, data.profiles)
    assert again.checksum() == data.checksum()
    part = again.subset([5, 3])
    np.testing.assert_array_equal(part.profile("reads"), data.profile("reads")[[5, 3], : part.length])
    assert part.checksum() != again.subset([3, 5]).checksum()


def test_the_checksum_sees_where_the_reads_lie() -> None:
    data = simulate(planting(RANDOM, tasks=[PROFILE]), n=20)
    before = data.checksum()
    assert data.profiles is not None
    data.profiles[:] = data.profiles[:, :, ::-1].copy()
    assert data.checksum() != before


def test_a_profile_that_is_missing_or_does_not_fit_is_named(tmp_path: Path) -> None:
    data = simulate(ragged(), n=30, seed=2)
    for name, damage, words in (
        ("gone", lambda path: path.unlink(), "no profiles.npy"),
        ("short", lambda path: np.save(path, np.zeros((29, 2, 60), dtype=np.int32)), r"shape \(29, 2, 60\)"),
        ("torn", lambda path: path.write_bytes(path.read_bytes()[:200]), "cannot be read"),
    ):
        folder = tmp_path / name
        data.save(folder)
        damage(folder / "profiles.npy")
        (folder / "manifest.json").unlink()
        write_manifest(folder, data.tasks, list(data.kinds), len(data))
        with pytest.raises(InputError, match=words):
            Dataset.load(folder)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"activity": "A"}, "names offset"),
        ({}, "a profile needs an activity"),
        ({"activity": ACTIVITY, "noise": 0.5}, "noise is 0.5"),
        ({"activity": "sum(A, log(offset))"}, "is nan for a sequence with 1 A"),
    ],
)
def test_profiles_that_make_no_sense_are_named(task: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        simulate(spec_from_table(table(tasks=[{"name": "y", "kind": "profile"} | task])), n=10)


def test_measured_reads_make_a_data_set_that_is_saved_and_read_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), 30)) for _ in range(40)]
    reads = rng.poisson(2.0, (40, 2, 30))
    data = dataset_of_profiles(sequences, reads, tasks=["left", "right"], seed=1)
    np.testing.assert_array_equal(data.profile("right"), reads[:, 1])
    np.testing.assert_array_equal(data.labels, reads.sum(axis=2))
    data.save(tmp_path / "data")
    again = Dataset.load(tmp_path / "data")
    assert again.checksum() == data.checksum() and again.kinds == ["profile", "profile"]
    np.testing.assert_array_equal(again.profile("left"), reads[:, 0])


@pytest.mark.parametrize(
    ("reads", "words"),
    [
        (np.zeros((3, 5)), r"shape \(3, 5\); 2 sequences of up to 4 bp need \(2, 4\)"),
        (np.zeros((2, 1, 5)), r"shape \(2, 1, 5\)"),
        (np.full((2, 4), 0.5), "no numbers of reads"),
        (np.full((2, 4), -1), "no numbers of reads"),
        (np.full((2, 4), np.nan), "no numbers of reads"),
        ([["a"] * 4] * 2, "no numbers of reads"),
    ],
)
def test_measured_reads_that_are_none_are_refused(reads: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dataset_of_profiles(["ACGT", "GGGG"], reads)


def test_a_repressor_of_an_activity_is_named_so() -> None:
    tasks = [{"name": "y", "kind": "real", "activity": "2 * A - pairs(A, B, exponential(gap, 20))"}]
    data = simulate(planting(RANDOM, tasks=tasks), n=50)
    roles = data.instances.groupby("motif", observed=True)["role"].unique()
    assert list(roles["A"]) == ["core"] and list(roles["B"]) == ["repressor"]

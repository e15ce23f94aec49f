import numpy as np
import pytest
from specs import small

from genoplrp.synthetic import simulate, simulate_to
from genoplrp.synthetic.splits import SPLITS
from genoplrp.synthetic.tally import tally_labels


def test_a_tally_of_pieces_is_that_of_the_whole_and_of_the_data(tmp_path) -> None:
    data = simulate("cooperative", n=9_000, seed=1)  # two blocks
    written = simulate_to(tmp_path / "x", "cooperative", 9_000, 1)
    for part, name in enumerate(SPLITS):
        labels = data.labels[data.split == name].astype(np.float64)
        assert written.n[part] == len(labels)
        np.testing.assert_allclose(written.total[part], labels.sum(axis=0), rtol=1e-12)
        np.testing.assert_allclose(written.squares[part], (labels**2).sum(axis=0), rtol=1e-12)
        np.testing.assert_array_equal(written.least[part], labels.min(axis=0))
        np.testing.assert_array_equal(written.most[part], labels.max(axis=0))
    (line,) = written.lines(data.tasks, data.kinds)
    assert f"mean {data.labels.mean():.3g}, standard deviation {data.labels.std():.3g} over 9000" in line


def test_one_class_is_warned_of_in_the_whole_and_in_a_part() -> None:
    one = small(classes=[{"name": "all", "fraction": 1.0, "plant": [{"motifs": "A"}]}])
    with pytest.warns(UserWarning, match="'label' has one class only: the label is 1 in all 30 sequences"):
        simulate(one, n=30)
    labels, split = np.array([[1.0]] * 40 + [[0.0]] * 25), np.array([0] * 40 + [2] * 25)
    assert tally_labels(labels, split).notes(["y"], ["binary"]) == [
        "task 'y' has one class only in the train part: the label is 1 in all 40 sequences",
        "task 'y' has one class only in the test part: the label is 0 in all 25 sequences",
    ]
    assert tally_labels(labels, np.arange(65) % 2).notes(["y"], ["binary"]) == []


@pytest.mark.parametrize("length", [8, [7, 9]])
def test_short_sequences_that_stand_in_two_parts_are_said(tmp_path, length) -> None:
    spec = small(length=length)
    with pytest.warns(
        UserWarning, match="different sequences of the test part are in the train part"
    ) as said:
        data = simulate(spec, n=2_000)
    parts = {part: set(data.subset(part).sequences) for part in SPLITS}
    for part in ("valid", "test"):
        both = f"{len(parts[part] & parts['train'])} of the {len(parts[part])} different sequences of the {part} part"
        assert sum(both in str(one.message) for one in said) == 1
    with pytest.warns(UserWarning) as written:
        simulate_to(tmp_path / "x", spec, 2_000)
    assert [str(one.message) for one in written] == [str(one.message) for one in said]


def test_two_classes_are_not_warned_of(recwarn: pytest.WarningsRecorder) -> None:
    simulate("tal_gata", n=8)
    assert not recwarn.list

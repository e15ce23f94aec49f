"""An explanation as an object: parts of it, saved and loaded, drawn."""

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import genoplrp as gp
from genoplrp.errors import InputError, OutputExistsError


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv1d(4, 6, 5),
            nn.ReLU(),
            nn.Conv1d(6, 5, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(70, 3),
            nn.Sigmoid(),
        )


@pytest.fixture(scope="module", name="X")
def sequences():
    return torch.eye(4)[torch.randint(4, (9, 20), generator=torch.Generator().manual_seed(1))].mT


@pytest.fixture(scope="module")
def explain(model):
    return gp.Explainer(
        model, pruning=gp.Pruning(0.1), batch_size=4, keep_intermediate=True, keep_multiplier=True
    )


TARGETS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    "rows", [3, -1, slice(2, 7), slice(None, None, 2), [8, 0, 4, 4], torch.tensor([5, 1])], ids=str
)
def test_a_part_is_the_explanation_of_those_sequences(explain, X, rows):
    part = explain(X, TARGETS)[rows]
    index = torch.arange(9)[[rows] if isinstance(rows, int) else rows]
    alone = explain(X[index], TARGETS[index])
    for name in ("relevance", "prediction", "target", "multiplier"):
        torch.testing.assert_close(getattr(part, name), getattr(alone, name), rtol=1e-4, atol=1e-6)
    for layer, values in alone.intermediate.items():
        torch.testing.assert_close(part.intermediate[layer], values, rtol=1e-4, atol=1e-6)
    assert part.units == "logit"
    assert part.check().holds
    pd.testing.assert_frame_equal(part.layers, alone.layers, rtol=1e-3, atol=1e-5)
    pd.testing.assert_frame_equal(part.absorbed, alone.absorbed, rtol=1e-3, atol=1e-5)


def test_it_can_be_gone_through_and_a_number_beyond_is_an_error(explain, X):
    e = explain(X)
    assert [float(one.prediction) for one in e] == e.prediction.tolist()
    with pytest.raises(IndexError, match="sequence 9 is out of range: there are 9"):
        e[9]


@pytest.mark.parametrize("target", [1, "2-0", TARGETS], ids=["index", "difference", "one each"])
def test_what_is_saved_comes_back(explain, X, tmp_path, target):
    e = explain(X, target)
    back = gp.Explanation.load(e.save(tmp_path / "e.npz"))
    torch.testing.assert_close(back.relevance, e.relevance, rtol=0, atol=0)
    torch.testing.assert_close(back.prediction, e.prediction, rtol=0, atol=0)
    torch.testing.assert_close(back.multiplier, e.multiplier, rtol=0, atol=0)
    assert back.intermediate.keys() == e.intermediate.keys()
    assert (back.notes, back.units) == (e.notes, "logit")
    assert (
        torch.equal(torch.as_tensor(back.target), target)
        if torch.is_tensor(target)
        else back.target == target
    )
    pd.testing.assert_frame_equal(back.to_frame(), e.to_frame())
    with pytest.raises(InputError, match="diagnostics"):
        back.check()
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        e.save(tmp_path / "e.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["e.npz"]


def test_what_is_no_explanation_is_said(tmp_path):
    (tmp_path / "e.npz").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(InputError, match=r"not a file of Explanation\.save"):
        gp.Explanation.load(tmp_path / "e.npz")
    with pytest.raises(InputError, match="there is no file"):
        gp.Explanation.load(tmp_path / "none.npz")


def test_plot_draws_one_sequence_in_given_coordinates(explain, X):
    e = explain(X)
    ax = e.plot(-2, Figure().subplots(), start=100)
    assert ax.get_xlim() == (99.5, 119.5)
    assert ax.get_title(loc="left") == f"sequence 7, logit {float(e.prediction[7]):.2f}"

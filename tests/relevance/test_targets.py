"""Targets as they are said on the command line."""

import pickle

import pytest
import torch

from genoplrp.errors import InputError
from genoplrp.relevance import lrp
from genoplrp.relevance.targets import output_target

Y = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(2, 3, 4)
SEVERAL = [Y[:, :, 0], Y]


@pytest.mark.parametrize(
    ("text", "y", "expected"),
    [
        ("2,1", Y, Y[:, 2, 1]), ("2,:", Y, Y[:, 2].sum(1)), (":,-1", Y, Y[:, :, 3].sum(1)), (":,:", Y, Y.sum((1, 2))),
        ("1", Y[:, 0], Y[:, 0, 1]), ("0", Y[:, 0, 0], Y[:, 0, 0]), ("2", Y[:, :1], Y[:, 0, 2]),
        ("0,2", Y[:, :1], Y[:, 0, 2]),
        ("1-0", Y[:, 0], Y[:, 0, 1] - Y[:, 0, 0]), ("2,1-0,:", Y, Y[:, 2, 1] - Y[:, 0].sum(1)),
        ("1:2,1", SEVERAL, Y[:, 2, 1]), ("donor:1", {"donor": Y[:, 0], "acceptor": Y}, Y[:, 0, 1]),
        ("donor:1-acceptor:2,3", {"donor": Y[:, 0], "acceptor": Y}, Y[:, 0, 1] - Y[:, 2, 3]), ("sum", Y, Y.sum((1, 2))),
        ("-1", Y[:, 0], Y[:, 0, -1]),
    ],
)  # fmt: skip
def test_a_target_picks_one_number_a_sequence(text, y, expected):
    target, name = output_target(text, None)
    assert name == text
    assert torch.equal(pickle.loads(pickle.dumps(target))(y), expected)


def test_names_of_tasks_and_of_outputs():
    assert output_target("GATA1", ("TAL1", "GATA1")) == (1, "GATA1")
    assert output_target("1", ("TAL1", "GATA1")) == (1, "GATA1")
    difference, _ = output_target("GATA1-TAL1", ("TAL1", "GATA1"))
    assert torch.equal(difference(Y[:, 0]), Y[:, 0, 1] - Y[:, 0, 0])
    named = ("donor", "acceptor")
    assert torch.equal(output_target("acceptor:2,1", None, named)[0](SEVERAL), Y[:, 2, 1])
    assert torch.equal(output_target("donor", None, named)[0](SEVERAL), Y[:, 0, 0])


@pytest.mark.parametrize(
    ("text", "y", "message"),
    [
        ("2", Y, r"target 2: the output has shape \(N, 3, 4\): give one index for each axis.*--target 0,0"),
        ("2,4", Y, r"target 2,4: 4 is out of range: the output has shape \(N, 3, 4\)"),
        ("3", Y[:, :, 0], r"3 is out of range"),
        ("0", SEVERAL, r"returns 2 outputs \(0, 1\): say which, e.g. --target 0:0"),
        ("donor:0", {"acceptor": Y}, "no output 'donor'; the model returns acceptor"),
        ("donor:0", Y, "returns one output"),
    ],
)  # fmt: skip
def test_what_the_output_does_not_have_is_said_in_the_command_lines_words(text, y, message):
    target, _ = output_target(text, None)
    with pytest.raises(InputError, match=message):
        target(y)


def test_what_cannot_be_read_says_what_can():
    with pytest.raises(InputError, match=r"target a;b: the model has no output 'a;b'; give an index"):
        output_target("a;b", None)
    with pytest.raises(InputError, match="no output 'MAX'; it has TAL1, GATA1"):
        output_target("MAX", ("TAL1", "GATA1"))
    with pytest.raises(InputError, match="target 7 is out of range: the model has 2 tasks"):
        output_target("7", ("TAL1", "GATA1"))
    with pytest.raises(InputError, match=r"the model has 1 task \(TAL1\)"):
        output_target("7", ("TAL1",))


def test_an_output_with_more_axes_says_how_to_point_into_it():
    model, X = torch.nn.Conv1d(4, 3, 5), torch.eye(4)[torch.randint(4, (2, 20))].mT
    with pytest.raises(InputError, match="target '0,0'; a colon sums"):
        lrp(model, X, target=0)
    assert lrp(model, X, target="0,0").shape == X.shape

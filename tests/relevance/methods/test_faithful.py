"""The p that keeps a stated share of faithfulness, against the definition by plain forward passes."""

import math

import pytest
import torch
from torch import nn

import genoplrp as gp
from genoplrp.errors import InputError
from genoplrp.relevance import DeepLift, Explainer, Pruning
from genoplrp.relevance.methods.faithful import GRID, REMOVED, most_pruned
from tests.relevance.test_zoo import _build, randomised


def _fall_by_loops(model, x, relevance, number):
    """Mean fall of one sequence's output with its most relevant positions made uniform."""
    scores = relevance.sum(dim=0).tolist()
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    falls = []
    with torch.no_grad():
        whole = float(number(model(x[None])))
        for count in sorted({max(1, round(share * len(scores))) for share in REMOVED}):
            changed = x.clone()
            changed[:, order[:count]] = 0.25
            falls.append(whole - float(number(model(changed[None]))))
    return sum(falls) / len(falls)


@pytest.mark.parametrize("share", [0.8, 0.95, 1.0])
@pytest.mark.parametrize("name", ["DeepSTARR", "DeepBind"])
def test_the_chosen_p_is_the_last_before_faithfulness_falls_below_the_share(name, share):
    model, X, target, _ = _build(name)
    model, X = model.double().eval(), X.double()

    def number(y):
        return y[:, target]

    e = Explainer(model, pruning=Pruning(p="faithful", faithfulness=share), batch_size=3)(X, target)
    maps = dict(Explainer(model).sweep(X, target, GRID))
    for i in range(len(X)):
        falls = [_fall_by_loops(model, X[i], maps[p].relevance[i], number) for p in GRID]
        expected = 0
        if falls[0] > 0:
            while expected + 1 < len(GRID) and falls[expected + 1] >= share * falls[0]:
                expected += 1
        assert float(e.settings["p"][i]) == GRID[expected]
        torch.testing.assert_close(e.relevance[i], maps[GRID[expected]].relevance[i], rtol=1e-9, atol=1e-12)
        tried = e.settings["faithfulness"][i]
        if falls[0] > 0:
            assert float(tried[expected]) == pytest.approx(falls[expected] / falls[0])
            assert all(math.isnan(float(v)) for v in tried[expected + 2 :])


def test_the_ledger_are_those_of_the_chosen_p():
    model, X, target, _ = _build("Basset")
    e = Explainer(
        model, pruning=Pruning(p="faithful", faithfulness=0.9), batch_size=3, keep_intermediate=True
    )(X, target)
    assert e.check(1e-4).holds, str(e.check())
    for i, p in enumerate(e.settings["p"].tolist()):
        alone = Explainer(model, pruning=Pruning().with_p(p))(X[i : i + 1], target)
        mine = e.layers[e.layers["sequence"] == i].reset_index(drop=True)
        assert mine["entries_kept"].tolist() == alone.layers["entries_kept"].tolist()
    assert any("p was chosen" in note for note in e.notes)


def test_a_smaller_share_never_prunes_less():
    model, X, target, _ = _build("DeepSTARR")
    chosen = [
        Explainer(model, pruning=Pruning(p="faithful", faithfulness=s))(X, target).settings["p"]
        for s in (1.0, 0.9, 0.5)
    ]
    assert (chosen[0] <= chosen[1]).all() and (chosen[1] <= chosen[2]).all()


def test_it_is_reached_by_the_short_call_by_deeplift_and_with_targets_for_each_sequence():
    model, X, _, _ = _build("DeepSTARR")
    targets = torch.tensor([0, 1, 1, 0])
    pruning = Pruning(p="faithful")
    e = Explainer(model, pruning=pruning)(X, targets)
    for i in range(4):
        one = Explainer(model, pruning=pruning)(X[i : i + 1], int(targets[i]))
        assert float(one.settings["p"][0]) == float(e.settings["p"][i])
    torch.testing.assert_close(gp.plrp(model, X, targets, p="faithful"), e.relevance)
    lift = DeepLift(model, pruning)(X, 1)
    assert lift.settings["p"].shape == (4,) and lift.check(1e-4).holds


def test_an_output_that_does_not_fall_is_left_unpruned_and_said_so():
    model = randomised(nn.Sequential(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 1)))
    with torch.no_grad():
        model[0].weight.zero_()  # the output does not depend on the sequence at all
    X = torch.eye(4)[torch.randint(4, (2, 10), generator=torch.Generator().manual_seed(0))].mT
    e = Explainer(model, pruning=Pruning(p="faithful"))(X)
    assert (e.settings["p"] == 0).all()
    assert any("2 sequences are not pruned" in note for note in e.notes)


def test_mistakes_are_named_and_no_sequences_are_no_mistake():
    model, X, target, _ = _build("DeepSTARR")
    with pytest.raises(InputError, match="faithfulness"):
        Pruning(p="faithful", faithfulness=0.0)
    with pytest.raises(InputError, match="ascends from 0"):
        most_pruned(Explainer(model), X, target, p=[0.1, 0.2])
    assert len(Explainer(model, pruning=Pruning(p="faithful"))(X[:0], target)) == 0
    assert dict(Explainer(model, pruning=Pruning(p="faithful")).sweep(X, target, [0.1]))[0.1].check().holds

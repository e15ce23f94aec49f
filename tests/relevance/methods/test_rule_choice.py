"""The preset that describes a model, where it is known which one does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import genoplrp as gp
from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, Pruning, choose_rules
from genoplrp.relevance.methods.responses import ask_about_windows
from genoplrp.relevance.methods.rule_choice import CANDIDATES
from tests.relevance.methods.test_invariance import Finder, L, sequences


def test_each_candidate_is_as_faithful_as_its_own_map():
    model, X = Finder("planted").eval().double(), sequences(6).double()
    choice = choose_rules(model, X, pruning=Pruning(p=0.1))
    maps = {name: Explainer(model, name, Pruning(p=0.1))(X).per_nucleotide for name in CANDIDATES}
    asked = ask_about_windows(Explainer(model), X, maps=list(maps.values()))
    assert choice.faithfulness == pytest.approx(
        {name: float(asked.faithfulness(values).mean()) for name, values in maps.items()}
    )
    assert choice.faithfulness[choice.rules] == max(choice.faithfulness.values())


def test_sums_with_both_signs_are_described_by_epsilon_and_not_by_positive_contributions_alone():
    torch.manual_seed(0)
    model, X = nn.Sequential(nn.Flatten(), nn.Linear(4 * L, 8), nn.Linear(8, 1)).eval(), sequences(40)
    choice = choose_rules(model, X, candidates=["zplus-all", "epsilon"])
    assert choice.rules == "epsilon"
    assert choice.faithfulness["epsilon"] > choice.faithfulness["zplus-all"] + 0.1
    assert choose_rules(model, X, candidates=["zplus-all"]).rules == "zplus-all"


def test_of_equal_candidates_the_first_is_taken_and_one_target_a_sequence_goes_with_the_sample():
    model = nn.Sequential(Finder("anchored"), nn.Linear(1, 2)).eval()
    X = sequences(50)
    target = torch.arange(50) % 2
    choice = choose_rules(model, X, target, candidates=["epsilon", "epsilon"])
    assert list(choice.faithfulness) == ["epsilon"]
    assert gp.lrp(model, X, target, rules=choice.rules).shape == X.shape


def test_nothing_to_choose_from_is_refused():
    model = Finder("planted").eval()
    for X, candidates in ((sequences(2)[:0], CANDIDATES), (sequences(2), [])):
        with pytest.raises(InputError, match="at least one"):
            choose_rules(model, X, candidates=candidates)

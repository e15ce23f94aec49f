from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from genoplrp.evaluation.grammar import score_grammar, score_roles
from genoplrp.evaluation.ready import _with_roles
from genoplrp.synthetic import Task, load_spec, simulate

SITES = pd.DataFrame(
    [
        (0, 0, 5, "core"),
        (0, 15, 20, "core"),
        (0, 30, 35, "broken"),
        (0, 45, 50, "inhibitor"),
        (0, 60, 65, "decoy"),
    ],
    columns=["sequence", "start", "end", "role"],
)


def planted(**heights: float) -> np.ndarray:
    """Relevance with a little noise, and the given height at every site of a role."""
    maps = np.random.default_rng(0).normal(size=(1, 100)) * 0.01
    for _, site in SITES.iterrows():
        maps[0, site["start"] : site["end"]] = heights.get(site["role"], 0.0)
    return maps


def test_a_map_that_obeys_the_rule_scores_full_marks():
    row = score_grammar(planted(core=1.0, inhibitor=-1.0), SITES).iloc[0]
    assert row[["core_credited", "core_all_credited", "inhibitor_blamed"]].tolist() == [1, 1, 1]
    assert row[["broken_credited", "decoy_credited"]].tolist() == [0, 0]
    assert np.isnan(row["other_credited"])


def test_half_of_an_and_is_half_credited_and_not_all_credited():
    maps = planted(core=1.0)
    maps[0, 15:20] = 0.0
    row = score_grammar(maps, SITES).iloc[0]
    assert row[["core_credited", "core_all_credited"]].tolist() == [0.5, 0]


def test_a_map_that_marks_every_motif_credits_the_broken_one_too():
    row = score_grammar(planted(core=1.0, broken=1.0, inhibitor=1.0, decoy=1.0), SITES).iloc[0]
    assert row[["broken_credited", "decoy_credited", "inhibitor_blamed"]].tolist() == [1, 1, 0]


@pytest.mark.parametrize("constant", [0.0, 1.0, -1.0])
def test_a_map_that_says_nothing_credits_and_blames_nothing(constant):
    table = score_roles(np.full((1, 100), constant), SITES)
    assert not table[["credited", "blamed"]].any(axis=None)


def test_the_generator_gives_the_roles_that_the_scores_ask_for():
    data = simulate("not", n=40, seed=0)
    table = score_grammar(data.signed_mask(), data.instances)
    for column, motif in (("inhibitor_blamed", "GATA1"), ("core_all_credited", "TAL1")):
        holding = set(data.instances["sequence"][data.instances["motif"] == motif])
        assert set(table.index[table[column].notna()]) == holding and (table[column].dropna() == 1).all()


def test_the_roles_of_a_cell_are_those_of_its_task():
    tasks = (Task("only_a", rule="TAL1 and not GATA1"), Task("b", rule="GATA1"))
    data = simulate(replace(load_spec("tal_gata"), tasks=tasks), n=30, seed=0)
    for target, roles in (
        (0, {("TAL1", "core"), ("GATA1", "inhibitor")}),
        (1, {("TAL1", "other"), ("GATA1", "core")}),
    ):
        table = _with_roles(data, target)
        assert set(zip(table["motif"], table["role"], strict=True)) == roles


def test_sequences_without_a_role_have_no_score_for_it():
    table = score_grammar(np.ones((2, 100)), SITES)
    assert table.iloc[1].isna().all()

"""The conservation ledger adds up what it is given: against sums written out, a sequence at a time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from genoplrp.relevance.propagation.ledger import Ledger, ledger_frame, select_rows
from genoplrp.relevance.pruning.thresholds import PruneStats
from genoplrp.relevance.rules import Epsilon

MASSES = ("positive_mass", "negative_mass", "positive_kept", "negative_kept")


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def entered(
    n: int, seed: int = 0, *, direct: bool = False
) -> tuple[Ledger, dict[str, list[dict[str, Tensor]]]]:
    """A ledger of a layer without pruning, of one that is entered twice, and of an operation; and what was entered."""
    ledger, given = Ledger(), {"first": [], "twice": []}
    for k, name in enumerate(("twice", "first", "twice")):
        layer = SimpleNamespace(
            name=name, index=("first", "twice").index(name), place="convolution", rule=Epsilon(), x=torch.zeros(n, 3, 5)
        )  # fmt: skip
        parts = draw(n, 4, seed=seed + 30 + k)  # as a GPU sums them
        incoming, (handed, after) = parts.sum(dim=1), draw(2, n, seed=seed + k)
        relevance = draw(n, 15, seed=seed + 10 + k)
        relevance[0] = relevance[0].abs()  # nothing negative
        relevance[1:2] = 0
        relevance[2:3, 1:] = 0  # one entry
        relevance[3:4] /= 100
        least = relevance.abs().mean(dim=1, keepdim=True) if name == "twice" else 0
        kept = relevance * (relevance.abs() > least)
        sides = [(r.clamp(min=0), -r.clamp(max=0)) for r in (relevance, kept)]
        masses = dict(zip(MASSES, [side.sum(dim=1) for pair in sides for side in pair], strict=True))
        numbers = [(side > 0).sum(dim=1) for pair in sides for side in pair]
        stats = PruneStats(*masses.values(), *numbers) if name == "twice" else None
        unpruned = (None, relevance) if direct else (torch.full_like(relevance, 2), relevance / 2)
        came = parts if name == "first" else incoming
        ledger.enter_layer(layer, came, handed, after, stats, unpruned if stats is None else None, n)
        row = {"in": incoming, "handed": handed, "out": after, "before": numbers[0] + numbers[1]}
        given[name].append(row | masses | {"after": numbers[2] + numbers[3]})
    key = ledger.open_operation("softmax")
    ledger.enter_operation(key, draw(n, seed=seed + 20))
    ledger.enter_operation(ledger.open_operation("attention"), draw(n, seed=seed + 22))
    ledger.enter_operation(key, -draw(n, seed=seed + 21))
    ledger.close()
    return ledger, given


@pytest.mark.parametrize("direct", [False, True])
def test_a_row_holds_the_sums_of_all_that_was_entered(direct: bool) -> None:
    ledger, given = entered(4, direct=direct)
    frame = ledger_frame([(7, ledger)])
    assert frame["sequence"].tolist() == [7, 7, 8, 8, 9, 9, 10, 10] and frame.index.tolist() == list(range(8))
    assert frame["layer"].tolist() == ["first", "twice"] * 4
    assert frame.columns[0] == "sequence" and frame["size"].dtype == np.int64
    assert set(frame["rule"]) == {"Epsilon"} and set(frame["place"]) == {"convolution"}
    assert ledger_frame([(0, entered(1)[0])])["size"].tolist() == [15, 30]
    for row in frame.to_dict("records"):
        i, parts = row["sequence"] - 7, given[row["layer"]]
        total = {name: sum(float(part[name][i]) for part in parts) for name in parts[0]}
        assert row["relevance_in"] == pytest.approx(total["in"])
        assert row["relevance_out"] == pytest.approx(total["out"])
        assert row["absorbed"] == pytest.approx(total["in"] - total["handed"])
        assert row["pruning_loss"] == pytest.approx(total["handed"] - total["out"])
        for name in MASSES:
            assert row[name] == pytest.approx(total[name])
        for sign in ("positive", "negative"):
            mass, kept = total[f"{sign}_mass"], total[f"{sign}_kept"]
            assert row[f"{sign}_pruned"] == pytest.approx(mass - kept)
            assert row[f"lambda_{sign}"] == pytest.approx(mass / kept if kept else 1)
        assert (row["entries"], row["entries_kept"]) == (total["before"], total["after"])
        assert row["kept_fraction"] == pytest.approx(total["after"] / max(total["before"], 1))
        assert row["size"] == 15 * len(parts)


def test_what_was_absorbed_is_what_came_in_and_did_not_go_on() -> None:
    ledger, given = entered(4)
    operation = draw(4, seed=20) - draw(4, seed=21)
    assert set(ledger.absorbed) == {"first", "twice", "softmax [0]", "attention [1]"}
    torch.testing.assert_close(ledger.absorbed["softmax [0]"], operation)
    torch.testing.assert_close(ledger.absorbed["attention [1]"], draw(4, seed=22))
    lost = sum(
        (part["in"] - part["out"] for parts in given.values() for part in parts), operation + draw(4, seed=22)
    )
    torch.testing.assert_close(ledger.total_absorbed(4), lost)
    torch.testing.assert_close(Ledger().total_absorbed(3), torch.zeros(3, dtype=torch.float64))


def test_an_opened_ledger_reads_the_same_tensors_again() -> None:
    """As a recorded batch needs it that is played back for other sequences."""
    ledger, relevance = Ledger(), draw(3, seed=0)
    ledger.enter_operation(ledger.open_operation("softmax"), relevance)
    again = ledger.opened()
    ledger.close()
    relevance += 1
    again.close()
    torch.testing.assert_close(again.absorbed["softmax [0]"], ledger.absorbed["softmax [0]"] + 1)
    assert again.open_operation("softmax") == 1


def test_sequences_are_selected_over_the_batches_in_any_order() -> None:
    ledgers = [(0, entered(3)[0]), (3, entered(2, seed=50)[0]), (5, entered(4, seed=90)[0])]
    whole = ledger_frame(ledgers)
    order = [8, 1, 1, 4, 3, 0, 7]
    chosen = ledger_frame(select_rows(ledgers, torch.tensor(order)))
    for place, sequence in enumerate(order):
        one, other = chosen[chosen["sequence"] == place], whole[whole["sequence"] == sequence]
        for column in whole.columns.drop("sequence"):
            np.testing.assert_array_equal(one[column], other[column])
    parts = select_rows(ledgers, torch.tensor(order))
    absorbed = torch.cat([part.total_absorbed(0) for _, part in parts])
    everything = torch.cat([ledger.total_absorbed(0) for _, ledger in ledgers])
    assert absorbed.tolist() == everything[order].tolist()
    assert select_rows([], torch.tensor(order)) == []
    assert ledger_frame([]).columns.tolist() == ["sequence", "layer"]

"""The conservation ledger of one explanation: what each layer took in, handed on, pruned and absorbed.

Not here: any decision about relevance; the ledger only adds up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genoplrp.relevance import deferred
from genoplrp.relevance.propagation.layer import Layer
from genoplrp.relevance.pruning.thresholds import PruneStats

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Ledger:
    """Sums per sequence, in float64; `close` enters what was measured in the pass.

    Attributes
    ----------
    rows
        One dictionary a layer, of tensors (N,).
    absorbed
        (layer or operation) -> relevance absorbed there, (N,).
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    absorbed: dict[str, Tensor] = field(default_factory=dict)
    operations: list[str] = field(default_factory=list)
    _measured: list[tuple[Callable[..., None], Any, list[Tensor]]] = field(default_factory=list)

    def open_operation(self, name: str) -> int:
        """Return a key for the entries of one operation that can absorb relevance."""
        self.operations.append(f"{name} [{len(self.operations)}]")
        return len(self.operations) - 1

    def enter_operation(self, key: int, relevance: Tensor) -> None:
        """Add what flowed in (positive) or out (negative) of an operation."""
        self._measured.append((Ledger._absorb, self.operations[key], [relevance]))

    def close(self) -> None:
        """Bring what was measured into the CPU's memory, at once, and enter it."""
        measured, self._measured = self._measured, []
        values = iter(deferred.on_host([value for *_, values in measured for value in values]))
        for enter, about, given in measured:
            enter(self, about, *(next(values) for _ in given))

    def opened(self) -> Ledger:
        """Return a ledger in which the same tensors will be entered: they may hold other values by then."""
        return Ledger(operations=self.operations, _measured=list(self._measured))

    def _absorb(self, name: str, relevance: Tensor) -> None:
        self.absorbed[name] = self.absorbed[name] + relevance if name in self.absorbed else relevance

    def enter_layer(
        self,
        layer: Layer,
        incoming: Tensor,
        handed: Tensor,
        after: Tensor,
        stats: PruneStats | None,
        unpruned: tuple[Tensor | None, Tensor] | None,
        batch: int,
    ) -> None:
        """Enter one linear layer.

        Parameters
        ----------
        incoming, handed, after
            Relevance that came to the outputs, that the rule handed to the inputs, and what is left after pruning:
            (N,), or parts of it, (N, parts).
        stats
            Masses from the pruning kernel; None where it did not run.
        unpruned
            Input and multiplier, to take the masses from where there are no ``stats``.
        """
        row = {
            "layer": layer.name,
            "index": layer.index,
            "place": layer.place,
            "rule": type(layer.rule).__name__,
            "size": layer.x.numel() // max(batch, 1),
        }
        if stats is None:
            assert unpruned is not None
            x, g_x = unpruned
            stats = _unpruned((g_x if x is None else x * g_x).reshape(batch, -1))
        self._measured.append((Ledger._enter_row, row, [incoming, handed, after, *stats]))

    def _enter_row(
        self, about: dict[str, Any], incoming: Tensor, handed: Tensor, after: Tensor, *masses: Tensor
    ) -> None:
        stats, name = PruneStats(*masses), about["layer"]
        incoming, handed, after = (t.sum(dim=1) if t.dim() == 2 else t for t in (incoming, handed, after))
        self._absorb(name, (incoming - handed) + (handed - after))
        row = about | {
            "relevance_in": incoming,
            "relevance_out": after,
            "absorbed": incoming - handed,
            "pruning_loss": handed - after,
            "positive_mass": stats.positive_mass, "negative_mass": stats.negative_mass,
            "positive_kept": stats.positive_kept, "negative_kept": stats.negative_kept,
            "lambda_positive": _ratio(stats.positive_mass, stats.positive_kept),
            "lambda_negative": _ratio(stats.negative_mass, stats.negative_kept),
            "entries": stats.n_positive + stats.n_negative,
            "entries_kept": stats.n_positive_kept + stats.n_negative_kept,
        }  # fmt: skip
        if name in self.rows:
            # A convolution that is used with and without its normalisation has two nodes.
            row = _sum_of_rows(self.rows[name], row)
        self.rows[name] = row

    def total_absorbed(self, batch: int) -> Tensor:
        """Return the relevance that biases, stabilizers and operations absorbed, (N,) float64."""
        if not self.absorbed:
            return torch.zeros(batch, dtype=torch.float64)
        return torch.stack(list(self.absorbed.values())).sum(dim=0)


def _unpruned(r: Tensor) -> PruneStats:
    """Return the masses of (N, M) relevance that was not pruned: all of it is kept."""
    positive = r.clamp(min=0).to(torch.float64).sum(dim=1)
    negative = -r.clamp(max=0).to(torch.float64).sum(dim=1)
    numbers = (r > 0).sum(dim=1), (r < 0).sum(dim=1)
    return PruneStats(positive, negative, positive, negative, *numbers, *numbers)


def _sum_of_rows(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    total = {k: v + b[k] if isinstance(v, Tensor) else v for k, v in a.items()}
    total["lambda_positive"] = _ratio(total["positive_mass"], total["positive_kept"])
    total["lambda_negative"] = _ratio(total["negative_mass"], total["negative_kept"])
    total["size"] = a["size"] + b["size"]
    return total


def _ratio(mass: Tensor, kept: Tensor) -> Tensor:
    return torch.where(kept > 0, mass / kept, torch.ones_like(mass))


def select_rows(ledgers: list[tuple[int, Ledger]], index: Tensor) -> list[tuple[int, Ledger]]:
    """Return the ledgers of some sequences, in their new order.

    Parameters
    ----------
    ledgers
        (index of the first sequence, ledger) for each batch, in order.
    index
        (k,) which sequences.
    """
    if not ledgers:
        return []
    firsts = torch.tensor([first for first, _ in ledgers])
    batches = torch.searchsorted(firsts, index, right=True) - 1
    found: list[tuple[int, Ledger]] = []
    start = 0
    for batch, count in zip(
        *(t.tolist() for t in torch.unique_consecutive(batches, return_counts=True)), strict=True
    ):
        first, ledger = ledgers[batch]
        rows = index[start : start + count] - first

        def taken(value: Any, rows: Tensor = rows) -> Any:
            return value.cpu()[rows] if isinstance(value, Tensor) else value

        part = Ledger(
            {name: {k: taken(v) for k, v in row.items()} for name, row in ledger.rows.items()},
            {name: taken(value) for name, value in ledger.absorbed.items()},
            list(ledger.operations),
        )
        found.append((start, part))
        start += count
    return found


def ledger_frame(ledgers: list[tuple[int, Ledger]]) -> pd.DataFrame:
    """Return one row per layer and sequence.

    Parameters
    ----------
    ledgers
        (index of the first sequence, ledger) for each batch.

    Returns
    -------
    DataFrame
        ``sequence, layer, index, place, rule, relevance_in, relevance_out, absorbed, positive_mass, negative_mass,
        positive_kept, negative_kept, positive_pruned, negative_pruned, pruning_loss, lambda_positive,
        lambda_negative, size, entries, entries_kept, kept_fraction``; masses in units of the explained output.
    """
    import pandas as pd

    frames = []
    for first, ledger in ledgers:
        for row in sorted(ledger.rows.values(), key=lambda r: r["index"]):
            columns = {k: v.detach().cpu().numpy() if isinstance(v, Tensor) else v for k, v in row.items()}
            frame = pd.DataFrame(columns)
            frame.insert(0, "sequence", range(first, first + len(frame)))
            frames.append(frame)
    if not frames:
        return pd.DataFrame(columns=["sequence", "layer"])
    out = pd.concat(frames)
    out["positive_pruned"] = out["positive_mass"] - out["positive_kept"]
    out["negative_pruned"] = out["negative_mass"] - out["negative_kept"]
    out["kept_fraction"] = out["entries_kept"] / out["entries"].clip(lower=1)
    return out.sort_values(["sequence", "index"], ignore_index=True)

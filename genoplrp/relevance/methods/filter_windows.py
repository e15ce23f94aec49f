"""Which filters of a layer carry a prediction, and the sequence windows that drove them: how a filter becomes a motif.

For each sequence the filters (output channels) of a convolution are ranked by the relevance they carry; each one's
strongest position is then explained on its own: only its relevance is sent down to the sequence. Where that arrives is
the window that drove it, base by base; behind pooling this is the window of the unit that won.

References
----------
Achtibat et al. 2023, Nature Machine Intelligence 5: relevance that is made to pass through one unit.
Kelley et al. 2016, Genome Research 26: filters as motifs, from the windows that activate them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from genoplrp.errors import InputError
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.inputs import OneTarget, check_input
from genoplrp.relevance.methods.conditional import check_kind
from genoplrp.relevance.methods.passes import Passes
from genoplrp.relevance.propagation.backward import AmbiguousBatchError, Run
from genoplrp.relevance.propagation.cuts import Cuts
from genoplrp.relevance.pruning.policy import Pruning
from genoplrp.relevance.tracing.guards import autograd_on
from genoplrp.relevance.tracing.tracer import Tracer

if TYPE_CHECKING:
    import pandas as pd

PSEUDOCOUNT = 1e-9


@dataclass(frozen=True, eq=False)
class FilterWindows:
    """The windows that drove a layer's filters.

    Attributes
    ----------
    layer
        Name of the layer whose output channels are the filters.
    table
        One row a window, the strongest filter of each sequence first: ``sequence, filter, position, start, end,
        relevance, filter_relevance, share, site``. ``position`` is that of the unit in the layer's output; the window
        is 0-based, half-open; ``relevance`` is the unit's, ``filter_relevance`` that of the filter over all positions,
        ``share`` its part of the absolute relevance of the layer's filters; ``site`` the window's bases, N for none.
    contributions
        (rows, 4, L): the unit's relevance at every base, on the CPU.
    X
        (N, 4, L): the sequences.
    """

    layer: str
    table: pd.DataFrame
    contributions: Float[Tensor, "rows 4 length"]
    X: Float[Tensor, "n 4 length"]

    def __len__(self) -> int:
        return len(self.table)

    def summary(self) -> pd.DataFrame:
        """Return one row per filter: ``filter, windows, relevance`` (mean of its windows), the most frequent first."""
        grouped = self.table.groupby("filter")["relevance"].agg(["size", "mean"]).reset_index()
        grouped.columns = ["filter", "windows", "relevance"]
        return grouped.sort_values(["windows", "relevance"], ascending=False, ignore_index=True)

    def width(self, filter: int) -> int:  # noqa: A002
        """Return the width of a filter's widest window: its receptive field, unless a sequence's end cuts all."""
        rows = self._rows(filter)
        return int((rows["end"] - rows["start"]).max())

    def aligned(self, filter: int) -> tuple[Float[Tensor, "rows 4 width"], Float[Tensor, "rows 4 width"]]:  # noqa: A002
        """Return a filter's windows, aligned: their bases and their contributions, 0 where a sequence ends.

        Windows of one convolution on the sequence are of one width and lie on one another exactly. Those of a deeper
        layer may be narrower where a part of the receptive field was silent; they are aligned at their centres.
        """
        rows, width, length = self._rows(filter), self.width(filter), self.X.shape[-1]
        bases = self.X.new_zeros(len(rows), 4, width)
        shares = self.contributions.new_zeros(len(rows), 4, width)
        for i, (index, row) in enumerate(rows.iterrows()):
            start, end = int(row["start"]), int(row["end"])
            if start == 0 and end < length:  # cut on the left
                first = end - width
            elif end == length and start > 0:
                first = start
            else:
                first = start - (width - (end - start)) // 2
            low, high = max(first, 0), min(first + width, length)
            bases[i, :, low - first : high - first] = self.X[int(row["sequence"]), :, low:high]
            shares[i, :, low - first : high - first] = self.contributions[int(str(index)), :, low:high]
        return bases, shares

    def motif(self, filter: int) -> Float[Tensor, "4 width"]:  # noqa: A002
        """Return a filter's position frequency matrix: the bases of its windows, weighted by the unit's |relevance|.

        Columns sum to 1; one that no window covers is uniform.
        """
        bases, _ = self.aligned(filter)
        weight = torch.as_tensor(self._rows(filter)["relevance"].abs().to_numpy(copy=True), dtype=bases.dtype)
        counts = (bases * weight[:, None, None]).sum(dim=0)
        total = counts.sum(dim=0, keepdim=True)
        return torch.where(total > 0, counts / total.clamp(min=PSEUDOCOUNT), torch.full_like(counts, 0.25))

    def contribution_motif(self, filter: int) -> Float[Tensor, "4 width"]:  # noqa: A002
        """Return a filter's contribution matrix: the mean contribution of each base at each position of its windows."""
        return self.aligned(filter)[1].mean(dim=0)

    def _rows(self, filter: int) -> pd.DataFrame:  # noqa: A002
        rows = self.table[self.table["filter"] == filter]
        if rows.empty:
            known = ", ".join(map(str, self.summary()["filter"]))
            raise InputError(
                f"no window of filter {filter} of {self.layer!r}: there are windows of {known or 'none'}"
            )
        return rows


def filter_windows(
    explainer: Explainer,
    X: Float[Tensor, "n 4 length"],
    layer: str,
    target: Target = 0,
    *,
    filters: int = 5,
    args: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> FilterWindows:
    """Find, for each sequence, the filters of a layer that carry its prediction and the windows that drove them.

    Parameters
    ----------
    explainer
        Its rules hold; its pruning acts above the layer (below it one unit's relevance is sent down unpruned).
    X, target, args, progress
        As in a call of the explainer; X must be DNA, (N, 4, L).
    layer
        Name of a convolution, as in `Explanation.layers`; its output must be (N, filters, positions). A normalisation
        behind it counts as part of it.
    filters
        How many filters a sequence, by the absolute relevance they carry; those that carry none are left out.

    Returns
    -------
    FilterWindows

    Raises
    ------
    InputError
        If the model has no such layer, its output has no positions, or X is not (N, 4, L).

    References
    ----------
    Achtibat et al. 2023, Nature Machine Intelligence 5.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(32, 1))
    >>> X = torch.eye(4)[torch.randint(4, (3, 20))].mT
    >>> windows = filter_windows(Explainer(model), X, layer="0", filters=2)
    >>> sorted(set(windows.table["end"] - windows.table["start"]))
    [5]
    """
    check_kind(explainer)
    if filters < 1:
        raise InputError(f"filters={filters}: must be at least 1")
    x, _ = check_input(X, args, explainer.network)
    if x.dim() != 3 or x.shape[1] != 4:
        raise InputError(f"X has shape {tuple(x.shape)}: windows of filters need DNA, (N, 4, L)")
    if len(x) == 0:
        return FilterWindows(layer, _table({}, x), x.cpu(), x.cpu())
    found = _Driver.of(explainer, layer, filters)(X, target, args=args, progress=progress).intermediate
    keep = found["relevance"].flatten() != 0
    contributions = found["contributions"].flatten(0, 1)[keep]
    return FilterWindows(layer, _table(found, x.cpu()), contributions, x.cpu())


class _Driver(Explainer):
    """An explainer that hands on, for each sequence and its strongest filters, the relevance through one unit."""

    _kind: Explainer
    _layer: str
    _filters: int

    @classmethod
    def of(cls, explainer: Explainer, layer: str, filters: int) -> _Driver:
        driver = cls.like(explainer)
        driver.keep = None
        driver._kind, driver._layer, driver._filters = explainer, layer, filters
        return driver

    def _tracer(self, run: Run) -> Tracer:
        return self._kind._tracer(run)

    def _batch(
        self, x: Tensor, extra: list[Tensor], target: OneTarget, prunings: list[Pruning | None]
    ) -> list[Explanation]:
        with autograd_on(), Cuts() as cuts:
            run = Run(batch=len(x), cuts=cuts)
            leaf, shadow, output, _ = self._forward(x, extra, target, run)
            self._check_layer(run)
            results = []
            for pruning in prunings:
                run.pruning = {} if pruning is None else pruning.plan(run.layers)
                passes = Passes(run, leaf, shadow, output)
                run.pruning = {}
                found = self._windows(passes)
                kept = {name: value.detach().cpu() for name, value in found.items()}
                results.append(
                    Explanation(x.detach().cpu(), output.detach().cpu(), target=None, intermediate=kept)
                )
        return results

    def _check_layer(self, run: Run) -> None:
        assert run.cuts is not None
        if self._layer not in run.cuts.found:
            raise InputError(f"the model has no layer {self._layer!r}; it has {', '.join(run.cuts.found)}")
        shape = tuple(run.cuts.found[self._layer][0].before.shape)
        if len(shape) != 3:
            raise InputError(
                f"the output of {self._layer!r} has shape {shape}: windows need a convolution's (N, filters, positions)"
            )
        if shape[0] != run.batch:
            raise AmbiguousBatchError("the model moves the batch off its first axis")

    def _windows(self, passes: Passes) -> dict[str, Tensor]:
        if self._layer not in passes.arrived:
            raise InputError(f"the explained output does not depend on the layer {self._layer!r}")
        relevance = passes.relevance(self._layer)
        sums = relevance.sum(dim=2)
        count = min(self._filters, sums.shape[1])
        top = sums.abs().topk(count, dim=1).indices
        # The unit that carries most in the direction of its filter.
        chosen = relevance.gather(1, top[:, :, None].expand(-1, -1, relevance.shape[2]))
        direction = torch.where(sums.gather(1, top) < 0, -1.0, 1.0)[:, :, None].to(chosen.dtype)
        position = (chosen * direction).argmax(dim=2)
        maps, edges = [], []
        for k in range(count):
            at = torch.zeros_like(relevance)
            at[torch.arange(len(at)), top[:, k], position[:, k]] = 1
            carried, touched = passes.send(self._layer, at)
            maps.append(carried)
            # Also where an unknown base has none.
            edges.append(_edges(touched))
        total = sums.abs().sum(dim=1, keepdim=True).clamp(min=torch.finfo(sums.dtype).tiny)
        return {
            "filter": top,
            "position": position,
            "relevance": chosen.gather(2, position[:, :, None]).squeeze(2),
            "filter_relevance": sums.gather(1, top),
            "share": sums.gather(1, top).abs() / total,
            "contributions": torch.stack(maps, dim=1),
            "edges": torch.stack(edges, dim=1),
        }


def _edges(touched: Tensor) -> Tensor:
    """Return the first position and the one after the last of each row of (N, L) that is True, (N, 2)."""
    length = touched.shape[1]
    place = torch.arange(length, device=touched.device).expand_as(touched)
    start = torch.where(touched, place, length).amin(dim=1)
    end = torch.where(touched, place + 1, 0).amax(dim=1)
    return torch.stack((torch.minimum(start, end), end), dim=1)


def _table(found: dict[str, Tensor], X: Tensor) -> pd.DataFrame:
    import pandas as pd

    columns = [
        "sequence",
        "filter",
        "position",
        "start",
        "end",
        "relevance",
        "filter_relevance",
        "share",
        "site",
    ]
    if not found:
        return pd.DataFrame(columns=columns)
    letters = [_bases(row) for row in X]
    rows = []
    for i in range(len(X)):
        for k in range(found["filter"].shape[1]):
            if found["relevance"][i, k] == 0:
                continue
            start, end = (int(v) for v in found["edges"][i, k])
            figures = [float(found[name][i, k]) for name in ("relevance", "filter_relevance", "share")]
            unit = int(found["filter"][i, k]), int(found["position"][i, k])
            rows.append((i, *unit, start, end, *figures, letters[i][start:end]))
    return pd.DataFrame(rows, columns=columns)


def _bases(x: Tensor) -> str:
    best, known = x.argmax(dim=0).tolist(), (x.amax(dim=0) > 0.5).tolist()
    return "".join("ACGT"[b] if k else "N" for b, k in zip(best, known, strict=True))

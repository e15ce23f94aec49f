"""Flow: which sites feed which channels of which layers, and these the output, for one sequence or the mean of many.

The nodes are sites, channels (the strongest; the others are pooled) and the output, the edges the relevance that passes
between them. Not here: the passes (`genoplrp.relevance.methods.conditional`), the picture (`genoplrp.plotting.flow`).

References
----------
Achtibat et al. 2023, Nature Machine Intelligence 5 (concept relevance propagation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer
from genoplrp.relevance.inputs import check_input, check_target
from genoplrp.relevance.methods.conditional import (
    ChannelRelevance,
    channel_relevance,
    conditional_relevance,
)
from genoplrp.sites.flow_tables import ELSEWHERE, Collected
from genoplrp.sites.given import GivenSites, check_sites, overlapping, owners, strongest_sites

if TYPE_CHECKING:
    import networkx
    from matplotlib.figure import Figure

    from genoplrp.relevance.explainer import Target

COLUMNS = 4
"""Layers that are shown if none are named."""


@dataclass(frozen=True, eq=False)
class Flow:
    """The pruned network as a graph; of several sequences the mean.

    Attributes
    ----------
    nodes : DataFrame
        ``node`` (name), ``layer`` ("sites", a layer's name or "output"), ``channel`` (-1 where there is none),
        ``channels`` (how many the node stands for), ``relevance`` (signed), ``share`` (of the absolute relevance of the
        layer's nodes), ``absorbed`` (relevance that the node does not hand on, taken by biases and stabilizers, or
        moved by pruning from one node to another); ``sequence, start, end`` of single sites.
    edges : DataFrame
        ``source`` (towards the sites), ``target`` (towards the output), ``relevance`` that passes between them, through
        none of the other layers shown.
    reach : DataFrame
        ``layer, channel, site, relevance``: all that arrives at a site from a channel, on whatever way.
    windows : DataFrame
        ``sequence, layer, channel, start, end, relevance``: where each channel's relevance gathers.
    profiles : dict
        (layer, channel) -> (4, W) mean relevance of the bases in these windows.
    layers : list of str
        In forward order.
    X : Tensor
        (N, 4, L).
    per_nucleotide : array
        (N, L) relevance.
    prediction : float
        The explained output, mean.
    notes : list of str
        What a reader should know.
    """

    nodes: pd.DataFrame
    edges: pd.DataFrame
    reach: pd.DataFrame
    windows: pd.DataFrame
    profiles: dict[tuple[str, int], Float[np.ndarray, "4 width"]]
    layers: list[str]
    X: Float[Tensor, "n 4 length"]
    per_nucleotide: Float[np.ndarray, "n length"]
    prediction: float
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Flow({len(self.nodes)} nodes, {len(self.edges)} edges, layers {', '.join(self.layers)})"

    def strongest(self, share: float = 0.9) -> pd.DataFrame:
        """Return the fewest edges that hold a share of the absolute relevance of each pair of columns."""
        layer = self.nodes.set_index("node")["layer"]
        table = self.edges.assign(
            size=self.edges["relevance"].abs(),
            columns=layer[self.edges["source"]].to_numpy() + "->" + layer[self.edges["target"]].to_numpy(),
        ).sort_values("size", ascending=False, kind="stable")
        held = table.groupby("columns")["size"]
        kept = held.cumsum() - table["size"] < share * held.transform("sum") - 1e-12
        return table[kept & (table["size"] > 0)].drop(columns=["size", "columns"]).reset_index(drop=True)

    def graph(self) -> networkx.DiGraph[str]:
        """Return a networkx graph, from the sites to the output; nodes and edges have the tables' columns.

        Raises
        ------
        MissingDependencyError
            If networkx is not installed.
        """
        try:
            import networkx
        except ImportError as error:
            from genoplrp.errors import MissingDependencyError

            raise MissingDependencyError("graph() needs networkx: pip install networkx") from error
        graph = networkx.DiGraph()
        graph.add_nodes_from(self.nodes.set_index("node").to_dict("index").items())
        for source, target, relevance in self.edges.itertuples(index=False, name=None):
            graph.add_edge(source, target, relevance=relevance)
        return graph

    def motif(self, layer: str, channel: int) -> Float[np.ndarray, "4 width"]:
        """Return the frequencies of the bases where a channel's relevance gathers, weighted by its size.

        Raises
        ------
        InputError
            If the channel is not one of the nodes.
        """
        rows = self.windows[(self.windows["layer"] == layer) & (self.windows["channel"] == channel)]
        if rows.empty:
            raise InputError(
                f"channel {channel} of {layer!r} is not a node of this flow, or carries nothing: see its windows"
            )
        width = int((rows["end"] - rows["start"]).iloc[0])
        counts = np.zeros((4, width))
        for row, start, weight in zip(rows["sequence"], rows["start"], rows["relevance"].abs(), strict=True):
            counts += weight * self.X[row, :, start : start + width].double().numpy()
        total = counts.sum(axis=0)
        return np.where(total > 0, counts / np.where(total > 0, total, 1.0), 0.25)

    def purity(self) -> pd.DataFrame:
        """Return whether each channel serves one kind of site.

        Returns
        -------
        DataFrame
            ``layer, channel, relevance, site`` (the kind that gets most of the channel's positive relevance),
            ``purity`` (its share of the positive relevance that arrives at any site; with K kinds served alike it is
            1 / K) and ``on_sites`` (share of the positive relevance that arrives at sites, not elsewhere).
        """
        rows = []
        size = self.nodes.set_index("node")["relevance"]
        own = self.reach[self.reach["channel"] >= 0]
        for key, part in own.groupby(["layer", "channel"], sort=False):
            layer, channel = key
            at = part.set_index("site")["relevance"].clip(lower=0)
            on = at.drop(ELSEWHERE, errors="ignore")
            if on.empty or on.sum() == 0:
                continue
            row = (
                layer,
                channel,
                size[f"{layer}:{channel}"],
                on.idxmax(),
                on.max() / on.sum(),
                on.sum() / at.sum(),
            )
            rows.append(row)
        columns = ["layer", "channel", "relevance", "site", "purity", "on_sites"]
        return pd.DataFrame(rows, columns=columns)

    def plot(self, share: float = 0.9, *, title: str | None = None, figure: Figure | None = None) -> Figure:
        """Draw the graph, see `genoplrp.plotting.plot_flow`."""
        from genoplrp.plotting.flow import plot_flow

        return plot_flow(self, share=share, title=title, figure=figure)


def flow(
    explainer: Explainer,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    sites: GivenSites | None = None,
    layers: Sequence[str] | None = None,
    share: float = 0.9,
    most: int = 10,
    args: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> Flow:
    """Trace relevance through the pruned network: sites, the channels of layers that they feed, and the output.

    Parameters
    ----------
    explainer : Explainer
        Its rules and pruning apply: one without pruning gives the flow of the whole network. The command prunes at
        p = 0.15, as does ``Explainer(model, pruning=Pruning(p=0.15))``.
    X : Tensor, (N, 4, L) or (4, L)
        One sequence, or several for the mean.
    target
        As in a call of the explainer.
    sites : DataFrame or sequence of (start, end), optional
        ``sequence, start, end`` and, for nodes that stand for all sites of a kind, ``motif``. By default the windows of
        the strongest relevance. Without ``motif`` each site of one sequence is a node (a ``label`` stands before its
        place), and all sites of several sequences are one node.
    layers : sequence of str, optional
        Layers to show (wildcards allowed); by default at most four convolutions, evenly spaced from first to last.
    share : float
        Share of the absolute relevance of a layer that its nodes must hold; the other channels are one node, "rest".
    most : int
        Maximum number of nodes per layer, and of sites.
    args, progress
        As in a call of the explainer.

    Returns
    -------
    Flow

    Raises
    ------
    InputError
        If an argument is wrong or a layer unknown.

    Notes
    -----
    Every node's relevance is the sum of the edges above it, and what enters a column is what leaves it and is absorbed
    on the way. Cost: one ordinary pass, then one row of a batch for each node and sequence.

    References
    ----------
    Achtibat et al. 2023, Nature Machine Intelligence 5; Yanez Sarmiento et al. 2024, ECML PKDD, figure 1.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(160, 1))
    >>> X = torch.eye(4)[torch.randint(4, (24,))].mT
    >>> flow(Explainer(model), X).layers
    ['0']
    """
    if not isinstance(explainer, Explainer):
        raise InputError(f"explainer is a {type(explainer).__name__}: give gp.Explainer(model, pruning=...)")
    if not 0 < share <= 1 or most < 1:
        raise InputError(f"share={share:g}, most={most}: a share in (0, 1], and at least one node")
    X = X[None] if getattr(X, "ndim", 0) == 2 else X
    x, extra = check_input(X, args, explainer.network)
    if x.dim() != 3 or x.shape[1] != 4 or len(x) == 0:
        raise InputError(f"X has shape {tuple(x.shape)}: expected DNA, (N, 4, L), with at least one sequence")
    found = channel_relevance(explainer, X, target, layers=layers, args=args, progress=progress)
    names = found.layers if layers else _spread(found)
    if not names:
        raise InputError(
            "the model has one layer with weights: there is nothing between its sites and its output"
        )
    notes: list[str] = []
    per_base = found.per_nucleotide.double().numpy()
    table, kinds, owner = _placed_sites(sites, per_base, most, share, notes)
    chosen = {name: _strongest(found.channels[name], share, most) for name in names}
    groups = {name: _numbered(chosen[name], found.channels[name].shape[1]) for name in names}
    collected = Collected(names, chosen, kinds, found)
    wanted, size = check_target(target, len(x)), max(explainer.batch_size, 1)
    from tqdm import tqdm

    with tqdm(total=len(x), desc="flow", unit="seq", disable=None if progress else True) as bar:
        for start in range(0, len(x), size):
            stop = min(start + size, len(x))
            parts = conditional_relevance(
                explainer, x[start:stop], groups, wanted(start, stop), args=[a[start:stop] for a in extra]
            )
            collected.add(parts, x[start:stop].cpu(), torch.from_numpy(owner[start:stop]), start)
            bar.update(stop - start)
    nodes, edges = collected.tables(table)
    return Flow(
        nodes,
        edges,
        collected.reach_table(),
        *collected.aligned(),
        names,
        x.cpu(),
        per_base,
        float(found.prediction.double().mean()),
        notes,
    )


def _placed_sites(
    sites: GivenSites | None, per_base: np.ndarray, most: int, share: float, notes: list[str]
) -> tuple[pd.DataFrame | None, list[str], np.ndarray]:
    """Return the table of single sites, the names of the site nodes, and the node that each base belongs to."""
    n, length = per_base.shape
    table = (
        strongest_sites(per_base, share=share, most=most) if sites is None else check_sites(sites, n, length)
    )
    if overlapping(table):
        notes.append(
            f"sites that overlap one before them: {overlapping(table)}; a shared base counts for the first"
        )
    single = n == 1 and "motif" not in table
    if "motif" in table:
        label = table["motif"].astype(str)
    elif single:
        label = table["start"].astype(str) + "-" + table["end"].astype(str)
        if "label" in table:
            label = table["label"].astype(str) + " " + label
    else:
        label = pd.Series("sites", index=table.index)
    kinds = list(dict.fromkeys(label))
    if len(kinds) > most:
        covered = owners(table, [kinds.index(v) for v in label], n, length, rest=len(kinds)).ravel()
        held = np.bincount(covered, weights=per_base.ravel(), minlength=len(kinds) + 1)[:-1]
        best = set(np.argsort(-np.abs(held), kind="stable")[:most].tolist())
        kept = [kinds[k] for k in range(len(kinds)) if k in best]
        notes.append(
            f"{len(kinds)} sites were given: the {most} strongest are nodes, the others count as {ELSEWHERE!r}"
        )
        table, label, kinds = table[label.isin(kept)], label[label.isin(kept)], kept
    if not kinds:
        notes.append("there are no sites: all relevance is elsewhere")
    owner = owners(table, [kinds.index(v) for v in label], n, length, rest=len(kinds))
    own = table[["sequence", "start", "end"]].assign(node=label.to_numpy()) if single else None
    return own, [*kinds, ELSEWHERE], owner


def _spread(found: ChannelRelevance) -> list[str]:
    """Return four convolutions at most (or other layers, where there are none), without the layer of the output."""
    inner = found.layers[:-1]
    inner = [name for name in inner if name in found.convolutions] or inner
    if len(inner) <= COLUMNS:
        return inner
    places = np.unique(np.linspace(0, len(inner) - 1, COLUMNS).round().astype(int))
    return [inner[k] for k in places]


def _strongest(channels: Tensor, share: float, most: int) -> list[int]:
    """Return the channels that carry most over all sequences, the strongest first."""
    size = channels.double().abs().sum(dim=0)
    order = size.argsort(descending=True, stable=True)
    before = size[order].cumsum(dim=0) - size[order]
    kept = (before < share * size.sum()) & (size[order] > 0)
    return [int(c) for c in order[: max(1, min(int(kept.sum()), most))]]


def _numbered(chosen: list[int], count: int) -> Tensor:
    """Return the group of every channel: its place among the chosen ones, or the one behind them."""
    groups = torch.full((count,), len(chosen), dtype=torch.long)
    groups[torch.tensor(chosen)] = torch.arange(len(chosen))
    return groups

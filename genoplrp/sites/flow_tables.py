"""What passes between the nodes of a flow, added up over sequences and written as tables; it computes no relevance."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from genoplrp.relevance.methods.conditional import ChannelRelevance, ConditionalRelevance
from genoplrp.relevance.methods.passes import OUTPUT
from genoplrp.sites.aligning import align_windows
from genoplrp.sites.candidates import WIDTH

ELSEWHERE, THE_OUTPUT, REST = "elsewhere", "output", "rest"


class Collected:
    """Sums over the sequences: what passes between nodes, what reaches sites, and where it gathers."""

    def __init__(
        self, names: list[str], chosen: dict[str, list[int]], kinds: list[str], found: ChannelRelevance
    ) -> None:
        self.names, self.found, self.kinds = names, found, kinds
        self.channels = {name: [*own, -1] if len(own) < found.channels[name].shape[1] else own
                         for name, own in chosen.items()}  # fmt: skip
        self.count = 0
        self.between: dict[tuple[str, str], Tensor] = {}
        self.to_sites: dict[str, Tensor] = {}
        self.reach: dict[str, Tensor] = {}
        self.windows: list[pd.DataFrame] = []
        self.pieces: dict[str, list[np.ndarray]] = {}

    def add(self, parts: ConditionalRelevance, x: Tensor, owner: Tensor, first: int) -> None:
        """Add sequences, the first of which is the ``first``-th of all."""
        self.count += len(owner)
        for pair, value in parts.edges.items():
            _add(self.between, pair, value.double().sum(dim=0))
        for name, value in parts.skipped.items():
            _add(self.to_sites, name, self._at_sites(value, owner))
        for name, value in parts.maps.items():
            _add(self.reach, name, self._at_sites(value, owner))
            self._gather(name, value, x, first)

    def _at_sites(self, value: Tensor, owner: Tensor) -> Tensor:
        where = owner[:, None].expand(value.shape)
        at = torch.zeros(*value.shape[:2], len(self.kinds), dtype=torch.float64)
        return at.scatter_add_(2, where, value.double()).sum(dim=0)

    def _gather(self, name: str, maps: Tensor, x: Tensor, first: int) -> None:
        """Take down the window of each sequence and channel that holds most of its relevance, and what is in it."""
        is_first = name == self.found.layers[0]
        width = min(self.found.widths[name] if is_first else WIDTH, maps.shape[2])
        own = [k for k, channel in enumerate(self.channels[name]) if channel >= 0]
        values = maps[:, own].double()
        sign = torch.where(values.sum(dim=2, keepdim=True) < 0, -1.0, 1.0)
        sums = torch.nn.functional.avg_pool1d(sign * values, width, stride=1) * width
        best, start = sums.max(dim=2)
        n, g = best.shape
        self.pieces.setdefault(name, []).append(_pieces(values, x.double(), start, width))
        frame = pd.DataFrame(
            {
                "sequence": np.repeat(np.arange(first, first + n), g),
                "layer": name,
                "channel": np.tile([self.channels[name][k] for k in own], n),
                "start": start.flatten().numpy(),
                "end": start.flatten().numpy() + width,
                "relevance": best.flatten().numpy(),
            }
        )
        self.windows.append(frame)

    def aligned(self) -> tuple[pd.DataFrame, dict[tuple[str, int], Float[np.ndarray, "4 width"]]]:
        """Return the windows of each channel laid on one another, and the mean relevance of their bases."""
        length = self.found.per_nucleotide.shape[1]
        table = pd.concat(self.windows, ignore_index=True)
        profiles = {}
        for name, parts in self.pieces.items():
            pieces = np.concatenate(parts)
            for k, channel in enumerate(c for c in self.channels[name] if c >= 0):
                rows = (table["layer"] == name) & (table["channel"] == channel)
                width = int((table["end"] - table["start"])[rows].iloc[0])
                carries = table["relevance"][rows].to_numpy() > 0
                if not carries.any():
                    continue
                shift, profile = align_windows(pieces[carries, k], width)
                at = table["start"][rows].to_numpy(copy=True)
                at[carries] = (at[carries] + shift - width // 2).clip(0, length - width)
                table.loc[rows, "start"], table.loc[rows, "end"] = at, at + width
                profiles[name, channel] = profile * carries.mean()
        table = table[table["relevance"] > 0]
        return table.sort_values(["layer", "channel", "sequence"], ignore_index=True), profiles

    def tables(self, sites: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return nodes and edges, means over the sequences."""
        rows: list[tuple[str, str, float]] = []
        for (upper, lower), value in self.between.items():
            rows += _rows(value, self._nodes(lower), self._nodes(upper))
        for upper, value in self.to_sites.items():
            rows += _rows(value, self.kinds, self._nodes(upper))
        edges = pd.DataFrame(rows, columns=["source", "target", "relevance"])
        edges["relevance"] /= self.count
        into, out = edges.groupby("source")["relevance"].sum(), edges.groupby("target")["relevance"].sum()
        prediction = float(self.found.prediction.double().mean())
        nodes = [{"node": name, "layer": "sites", "channel": -1, "channels": 0} for name in self.kinds]
        for layer in self.names:
            total = self.found.channels[layer].shape[1]
            own = self.channels[layer]
            nodes += [
                {
                    "node": name,
                    "layer": layer,
                    "channel": channel,
                    "channels": 1 if channel >= 0 else total - len(own) + 1,
                }
                for name, channel in zip(self._nodes(layer), own, strict=True)
            ]
        nodes.append({"node": THE_OUTPUT, "layer": THE_OUTPUT, "channel": -1, "channels": 1})
        table = pd.DataFrame(nodes)
        table["relevance"] = table["node"].map(into).fillna(0.0)
        table.loc[table["node"] == THE_OUTPUT, "relevance"] = prediction
        size = table["relevance"].abs()
        table["share"] = size / size.groupby(table["layer"]).transform("sum").replace(0.0, 1.0)
        table["absorbed"] = table["relevance"] - table["node"].map(out).fillna(0.0)
        table.loc[table["layer"] == "sites", "absorbed"] = 0.0
        if sites is not None:
            table = table.merge(sites, on="node", how="left")
        edges = edges[edges["relevance"] != 0].reset_index(drop=True)
        return table, edges

    def reach_table(self) -> pd.DataFrame:
        """Return what arrives at the sites from each channel."""
        rows = [
            (layer, channel, site, float(value[k, s]) / self.count)
            for layer, value in self.reach.items()
            for k, channel in enumerate(self.channels[layer])
            for s, site in enumerate(self.kinds)
        ]
        return pd.DataFrame(rows, columns=["layer", "channel", "site", "relevance"])

    def _nodes(self, layer: str) -> list[str]:
        if layer == OUTPUT:
            return [THE_OUTPUT]
        return [f"{layer}:{channel if channel >= 0 else REST}" for channel in self.channels[layer]]


def _pieces(values: Tensor, x: Tensor, start: Tensor, width: int) -> np.ndarray:
    """Return the relevance of the bases of windows and half a window beside them, (N, G, 4, 2 W), 0 beyond the ends."""
    flank = width // 2
    places = start[:, :, None] + torch.arange(-flank, width + flank)
    inside = (places >= 0) & (places < values.shape[2])
    places = places.clamp(0, values.shape[2] - 1)
    at = values.gather(2, places) * inside
    bases = x[:, None].expand(-1, values.shape[1], -1, -1)
    pieces = bases.gather(3, places[:, :, None].expand(-1, -1, 4, -1)) * at[:, :, None]
    return pieces.float().numpy()


_Key = TypeVar("_Key")


def _add(sums: dict[_Key, Tensor], key: _Key, value: Tensor) -> None:
    sums[key] = sums[key] + value if key in sums else value


def _rows(value: Tensor, lower: list[str], upper: list[str]) -> list[tuple[str, str, float]]:
    numbers = value.numpy()
    return [(low, up, float(numbers[i, j])) for i, up in enumerate(upper) for j, low in enumerate(lower)]

"""Pairs of sites as tables: how they lie to one another, and what many of them have in common; it computes no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from genoplrp.errors import InputError
from genoplrp.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIR_COLUMNS = (
    "sequence", "a", "b", "motif_a", "motif_b", "start_a", "end_a", "start_b", "end_b", "distance", "order",
    "orientation", "effect_a", "effect_b", "effect_both", "interaction", "sd", "q_value", "change_a", "change_b",
    "relevance_change",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Interactions:
    """Effects of sites and of pairs of sites.

    Attributes
    ----------
    sites : DataFrame
        ``sequence, start, end``, the columns that were given, ``relevance`` (of the whole sequence's map) and
        ``effect`` (output with the site less without it).
    pairs : DataFrame
        One row a pair that does not overlap; ``a`` and ``b`` are rows of `sites`, a the one with the smaller start.
        ``distance`` (bp between them), ``order`` and ``orientation`` (see `described_pairs`), ``effect_a, effect_b,
        effect_both``, ``interaction`` (effect_both less the two others: below 0 where one site is enough, above 0 where
        both are needed), ``sd`` over the fills, ``q_value``; ``change_a``: relevance of a less what it has without b;
        ``relevance_change``: mean of the two.
    scale : str
        Of the effects; relevance is always in units of the explained output.
    notes : list of str
        What was left out.
    """

    sites: pd.DataFrame
    pairs: pd.DataFrame
    scale: str
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        sites, pairs = counted(len(self.sites), "site"), counted(len(self.pairs), "pair")
        return f"Interactions({sites}, {pairs}, scale {self.scale})"

    def summary(self, by: Sequence[str] = ("motif_pair",), *, fdr: float = 0.05) -> pd.DataFrame:
        """Summarise the pairs of a kind.

        Parameters
        ----------
        by : sequence of str
            Columns of `pairs` that make a kind; ``motif_pair`` is both names, in the order of the alphabet.
        fdr : float
            Largest q-value of a pair that is counted as interacting.

        Returns
        -------
        DataFrame
            The columns, ``pairs``, ``interaction`` (mean) with ``low, high`` (mean -+ 1.96 standard errors over
            sequences), ``interacting`` (share), ``relevance_change``, ``effect_both``; the largest |interaction| first.

        Raises
        ------
        InputError
            If there is no such column.
        """
        table = self._named()
        unknown = [name for name in by if name not in table]
        if unknown or not by:
            raise InputError(f"by={list(by)}: choose among motif_pair, {', '.join(PAIR_COLUMNS)}")
        rows = []
        for key, part in table.groupby(list(by), sort=True):
            values = part.groupby("sequence")["interaction"].mean()
            mean = float(part["interaction"].mean())
            error = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            figures = {
                "pairs": len(part),
                "interaction": mean,
                "low": mean - error,
                "high": mean + error,
                "interacting": float((part["q_value"] <= fdr).mean()),
                "relevance_change": float(part["relevance_change"].mean()),
                "effect_both": float(part["effect_both"].mean()),
            }
            rows.append(dict(zip(by, key, strict=True)) | figures)
        columns = [
            *by,
            "pairs",
            "interaction",
            "low",
            "high",
            "interacting",
            "relevance_change",
            "effect_both",
        ]
        out = pd.DataFrame(rows, columns=columns)
        return out.sort_values("interaction", key=np.abs, ascending=False, ignore_index=True)

    def by_distance(self, width: int = 5, by: Sequence[str] = ("motif_pair",)) -> pd.DataFrame:
        """Return the summary for bins of the distance, ``width`` bp each; ``distance`` is a bin's first one."""
        if width < 1:
            raise InputError(f"width={width}: bins of at least 1 bp")
        binned = self.pairs.assign(distance=self.pairs["distance"] // width * width)
        table = Interactions(self.sites, binned, self.scale).summary([*by, "distance"])
        return table.sort_values([*by, "distance"], ignore_index=True)

    def matrix(self, sequence: int = 0, value: str = "interaction") -> pd.DataFrame:
        """Return one sequence's pairs as a symmetric matrix; on the diagonal is the effect (or relevance) of each site.

        Parameters
        ----------
        sequence : int
            Row of X.
        value : {"interaction", "relevance_change", "q_value"}
            Which column of `pairs`. Pairs that overlap are missing.
        """
        if value not in ("interaction", "relevance_change", "q_value"):
            raise InputError(f"value={value!r}: choose interaction, relevance_change or q_value")
        own = self.sites[self.sites["sequence"] == sequence]
        labels = [_label(row) for _, row in own.iterrows()]
        place = {site: k for k, site in enumerate(own.index)}
        values = np.full((len(own), len(own)), np.nan)
        if value != "q_value":
            np.fill_diagonal(values, own["effect" if value == "interaction" else "relevance"])
        part = self.pairs[self.pairs["sequence"] == sequence]
        for a, b, number in zip(part["a"], part["b"], part[value], strict=True):
            values[place[a], place[b]] = values[place[b], place[a]] = number
        return pd.DataFrame(values, index=labels, columns=labels)

    def plot(self, sequence: int = 0, *, figure: Figure | None = None) -> Figure:
        """Draw one sequence's matrix, see `genoplrp.plotting.plot_interactions`."""
        from genoplrp.plotting.interactions import plot_interactions

        return plot_interactions(self, sequence, figure=figure)

    def plot_distance(self, *, width: int = 5, most: int = 6, figure: Figure | None = None) -> Figure:
        """Draw the interaction against the distance, see `genoplrp.plotting.plot_distance`."""
        from genoplrp.plotting.interactions import plot_distance

        return plot_distance(self, width=width, most=most, figure=figure)

    def _named(self) -> pd.DataFrame:
        pairs = zip(self.pairs["motif_a"], self.pairs["motif_b"], strict=True)
        return self.pairs.assign(motif_pair=[" + ".join(sorted(map(str, pair))) for pair in pairs])


def described_pairs(sites: pd.DataFrame, pairs: list[tuple[int, int]]) -> pd.DataFrame:
    """Return how the sites of each pair lie to one another.

    Parameters
    ----------
    sites : DataFrame
        Sorted by sequence and start; ``motif`` and ``strand`` may lack.
    pairs : list of (int, int)
        Rows of `sites`, the first with the smaller start.

    Returns
    -------
    DataFrame
        The first columns of `PAIR_COLUMNS`. ``orientation`` is "same", "convergent" (+ before -) or "divergent" (-
        before +), "" without strands; ``order`` is "A > B" as read along the strand of both, and along + otherwise.

    Examples
    --------
    >>> sites = pd.DataFrame({"sequence": 0, "start": [2, 20], "end": [8, 26], "motif": ["A", "B"], "strand": "-"})
    >>> described_pairs(sites, [(0, 1)])[["distance", "order", "orientation"]].values.tolist()
    [[12, 'B > A', 'same']]
    """
    a = sites.loc[[pair[0] for pair in pairs]].reset_index(drop=True)
    b = sites.loc[[pair[1] for pair in pairs]].reset_index(drop=True)
    motifs = [
        part["motif"].astype(str) if "motif" in part else pd.Series("site", part.index) for part in (a, b)
    ]
    strands = [
        part["strand"].astype(str) if "strand" in part else pd.Series("", part.index) for part in (a, b)
    ]
    facing = {"++": "same", "--": "same", "+-": "convergent", "-+": "divergent"}
    both = [s + t for s, t in zip(*strands, strict=True)]
    ordered = [f"{n} > {m}" if st == "--" else f"{m} > {n}" for m, n, st in zip(*motifs, both, strict=True)]
    return pd.DataFrame(
        {
            "sequence": a["sequence"],
            "a": [pair[0] for pair in pairs],
            "b": [pair[1] for pair in pairs],
            "motif_a": motifs[0],
            "motif_b": motifs[1],
            "start_a": a["start"],
            "end_a": a["end"],
            "start_b": b["start"],
            "end_b": b["end"],
            "distance": b["start"] - a["end"],
            "order": ordered,
            "orientation": [facing.get(st, "") for st in both],
        }
    )


def _label(row: pd.Series) -> str:
    where = f"{row['start']}-{row['end']}"
    return f"{row['motif']} {where}" if "motif" in row else where

"""Hits that nobody planted: found in finished sequences, counted, and drawn away where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int, UInt8

from genoplrp.synthetic.grammar import DECOY
from genoplrp.synthetic.scan import Hits, find_hits, score_threshold

if TYPE_CHECKING:
    from genoplrp.synthetic.blocks import InstanceTable
    from genoplrp.synthetic.spec import Spec

_ROUNDS = 50


class AccidentalScan:
    """The scan that a specification asks for.

    Parameters
    ----------
    spec : Spec
        Its ``scan`` must be set.
    """

    def __init__(self, spec: Spec) -> None:
        assert spec.scan is not None, "only made where a scan is asked for"
        names = list(dict.fromkeys(spec.all_members(spec.scan.motifs)))
        self.spec = spec
        self.remove = spec.scan.action == "remove"
        self.motifs = [spec.motifs[name].motif for name in names]
        self.thresholds = [score_threshold(motif, spec.scan.p_value) for motif in self.motifs]
        self.widths = np.array([motif.width for motif in self.motifs])

    def run(
        self,
        codes: UInt8[np.ndarray, "n length"],
        lengths: Int[np.ndarray, " n"],
        planted: InstanceTable,
        rng: np.random.Generator,
    ) -> dict[str, int]:
        """Count accidental hits, and remove them where that is asked for; changes ``codes``.

        A hit is accidental unless at least half of it lies on planted instances that are no decoys. To remove one,
        those of its bases that belong to no instance are replaced by freshly drawn background; a hit that lies on
        planted bases alone (a decoy that happens to contain a core motif) stays, and is reported as left.

        Returns
        -------
        dict
            ``accidental``: hits found; ``accidental_left``: hits that remain, where they are removed.
        """
        core = _cover(codes.shape, planted, planted.role != DECOY)
        hits = self._accidental(codes, lengths, core)
        report = {"accidental": len(hits.row)}
        if not self.remove:
            return report
        taken = _cover(codes.shape, planted, np.ones(len(planted.row), dtype=bool))
        rows = np.arange(len(codes))
        left = 0
        for _ in range(_ROUNDS):
            if len(hits.row) == 0:
                break
            # Only sequences with a hit are drawn and scanned again.
            affected = np.unique(hits.row)
            rows, hits = rows[affected], hits._replace(row=np.searchsorted(affected, hits.row))
            self._redraw(codes, rows, hits, taken, rng)
            hits = self._accidental(codes[rows], lengths[rows], core[rows])
            stuck = self._stuck(hits, taken[rows])
            left += int(stuck.sum())
            # A sequence whose only hits are stuck is finished; others carry theirs along and are counted again.
            going = np.isin(hits.row, hits.row[~stuck])
            left -= int((stuck & going).sum())
            hits = Hits(*(column[going] for column in hits))
        return report | {"accidental_left": left + len(hits.row)}

    def _accidental(self, codes: np.ndarray, lengths: np.ndarray, core: Bool[np.ndarray, "n length"]) -> Hits:
        hits = find_hits(codes, self.motifs, self.thresholds, lengths)
        before = np.concatenate([np.zeros((len(core), 1), dtype=np.int64), np.cumsum(core, axis=1)], axis=1)
        width = self.widths[hits.motif]
        covered = before[hits.row, hits.start + width] - before[hits.row, hits.start]
        free = 2 * covered < width
        return Hits(*(column[free] for column in hits))

    def _redraw(
        self, codes: np.ndarray, rows: np.ndarray, hits: Hits, taken: np.ndarray, rng: np.random.Generator
    ) -> None:
        fresh = self.spec.background.draw(rng, len(rows), codes.shape[1])
        chosen = np.zeros(fresh.shape, dtype=bool)
        for row, start, width in zip(hits.row, hits.start, self.widths[hits.motif], strict=True):
            chosen[row, start : start + width] = True
        chosen &= ~taken[rows]
        codes[rows] = np.where(chosen, fresh, codes[rows])

    def _stuck(self, hits: Hits, taken: np.ndarray) -> Bool[np.ndarray, " hits"]:
        before = np.concatenate([np.zeros((len(taken), 1), dtype=np.int64), np.cumsum(taken, axis=1)], axis=1)
        width = self.widths[hits.motif]
        return np.asarray(before[hits.row, hits.start + width] - before[hits.row, hits.start] == width)


def _cover(
    shape: tuple[int, ...], planted: InstanceTable, chosen: np.ndarray
) -> Bool[np.ndarray, "n length"]:
    steps = np.zeros((shape[0], shape[1] + 1), dtype=np.int16)
    np.add.at(steps, (planted.row[chosen], planted.start[chosen]), 1)
    np.add.at(steps, (planted.row[chosen], planted.end[chosen]), -1)
    return np.asarray(np.cumsum(steps[:, :-1], axis=1) > 0)

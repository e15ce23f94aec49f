"""Hits that nobody planted: found in finished sequences, counted, and drawn away where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int, UInt8

from genoplrp.errors import InputError
from genoplrp.sequence import encode_padded
from genoplrp.synthetic.grammar import COUNTED, DECOY
from genoplrp.synthetic.scan import Hits, find_hits, score_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from genoplrp.synthetic.blocks import InstanceTable
    from genoplrp.synthetic.dataset import Dataset
    from genoplrp.synthetic.motifs import Motif
    from genoplrp.synthetic.sources import BackgroundSource
    from genoplrp.synthetic.spec import Spec

_ROUNDS = 50


def accidental_hits(
    data: Dataset, motifs: Sequence[str] | None = None, p_value: float | None = None
) -> pd.DataFrame:
    """Hits of motifs that nobody planted, one a row: where an explanation may point and not be wrong.

    Parameters
    ----------
    data : Dataset
        Sequences with their planted instances and motifs.
    motifs : sequence of str, optional
        Names of motifs or of sets to look for; by default those that the specification scans for, else those of the
        core instances.
    p_value : float, optional
        See :class:`genoplrp.synthetic.Scan`; by default the specification's, else 1e-4.

    Returns
    -------
    pandas.DataFrame
        ``sequence``, ``start``, ``end`` (0-based, half-open), ``motif``, ``strand``, ``score`` (bits), by sequence and
        start. A hit of which at least half lies on planted instances that are no decoys is not accidental; where the
        specification's ``min_score`` is looked for, on those of its own motif.

    Raises
    ------
    InputError
        If there are no motifs to look for, or a name is unknown.

    Examples
    --------
    >>> from genoplrp.synthetic import simulate
    >>> len(accidental_hits(simulate("spacing", n=100))), len(accidental_hits(simulate("tal_gata", n=100))) > 0
    (0, True)
    """
    import pandas as pd

    scan = data.spec.scan if data.spec is not None else None
    table = data.instances
    wanted = _wanted(data, motifs)
    given = p_value is not None
    p_value = p_value or (scan.p_value if scan is not None else 1e-4)
    codes = encode_padded(data.sequences)
    least = scan.min_score if scan is not None and not given else None
    thresholds = hit_thresholds(wanted, p_value, least)
    core = table[(table["role"] != "decoy").to_numpy(dtype=bool)]
    places = [core[name].to_numpy(dtype=np.int64) for name in ("sequence", "start", "end")]
    if least is None:
        covers = [_cover(codes.shape, *places)] * len(wanted)
    else:
        own = [(core["motif"] == motif.name).to_numpy(dtype=bool) for motif in wanted]
        covers = [_cover(codes.shape, *(column[chosen] for column in places)) for chosen in own]
    hits = _free_hits(codes, data.lengths, wanted, thresholds, covers)
    width = np.array([motif.width for motif in wanted], dtype=np.int64)[hits.motif]
    found = pd.DataFrame(
        {
            "sequence": hits.row,
            "start": hits.start,
            "end": hits.start + width,
            "motif": np.array([motif.name for motif in wanted], dtype=object)[hits.motif],
            "strand": np.where(hits.minus, "-", "+"),
            "score": np.round(hits.score, 3),
        }
    )
    return found.sort_values(["sequence", "start", "motif"], kind="stable", ignore_index=True)


def hit_thresholds(motifs: Sequence[Motif], p_value: float, min_score: float | None) -> list[float]:
    """Score of each motif from which on it is a hit, in bits: one so unlikely, or of ``min_score``."""
    likely = [score_threshold(motif, p_value) for motif in motifs]
    return likely if min_score is None else [min(one, min_score) for one in likely]


class AccidentalScan:
    """The scan that a specification asks for.

    Parameters
    ----------
    spec : Spec
        Its ``scan`` must be set.
    background : BackgroundSource
        Where the bases that replace a hit are drawn from.
    """

    def __init__(self, spec: Spec, background: BackgroundSource) -> None:
        assert spec.scan is not None, "only made where a scan is asked for"
        names = list(dict.fromkeys(spec.all_members(spec.scan.motifs)))
        self.background = background
        self.remove = spec.scan.action == "remove"
        self.motifs = [spec.motifs[name].motif for name in names]
        self.number = [list(spec.motifs).index(name) for name in names]
        self.own = spec.scan.min_score is not None
        self.thresholds = hit_thresholds(self.motifs, spec.scan.p_value, spec.scan.min_score)
        self.widths = np.array([motif.width for motif in self.motifs])

    def run(
        self,
        codes: UInt8[np.ndarray, "n length"],
        lengths: Int[np.ndarray, " n"],
        planted: InstanceTable,
        drawn_for: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]],
        rng: np.random.Generator,
    ) -> dict[str, int]:
        """Count accidental hits, and remove them where that is asked for; changes ``codes``.

        A hit is accidental unless at least half of it lies on planted instances that are no decoys (with a
        ``min_score``: of its own motif, since one on another motif is as good as a planted one). To remove one,
        those of its bases that belong to no instance are replaced by freshly drawn background; a hit that lies on
        planted bases alone (a decoy that happens to contain a core motif) stays, and is reported as left. The
        background is drawn for the part and the class of each sequence, ``drawn_for``.

        Returns
        -------
        dict
            ``accidental``: hits found; ``accidental_left``: hits that remain, where they are removed.
        """
        core = self._covers(codes.shape, planted)
        hits = self._accidental(codes, lengths, core)
        report = {"accidental": len(hits.row)}
        if not self.remove:
            return report
        taken = _cover(codes.shape, planted.row, planted.start, planted.end)
        rows = np.arange(len(codes))
        left = 0
        for _ in range(_ROUNDS):
            if len(hits.row) == 0:
                break
            # Only sequences with a hit are drawn and scanned again.
            affected = np.unique(hits.row)
            rows, hits = rows[affected], hits._replace(row=np.searchsorted(affected, hits.row))
            self._redraw(codes, rows, hits, taken, drawn_for, rng)
            hits = self._accidental(codes[rows], lengths[rows], [cover[rows] for cover in core])
            stuck = self._stuck(hits, taken[rows])
            left += int(stuck.sum())
            # A sequence whose only hits are stuck is finished; others carry theirs along and are counted again.
            going = np.isin(hits.row, hits.row[~stuck])
            left -= int((stuck & going).sum())
            hits = Hits(*(column[going] for column in hits))
        return report | {"accidental_left": left + len(hits.row)}

    def _covers(self, shape: tuple[int, ...], planted: InstanceTable) -> list[Bool[np.ndarray, "n length"]]:
        """For each motif, where its hits are not accidental."""

        def cover(of: Bool[np.ndarray, " i"]) -> Bool[np.ndarray, "n length"]:
            return _cover(shape, planted.row[of], planted.start[of], planted.end[of])

        intact = planted.role != DECOY
        if self.own:
            return [cover(intact & (planted.motif == number)) for number in self.number]
        return [cover(intact)] * len(self.number)

    def _accidental(
        self, codes: np.ndarray, lengths: np.ndarray, core: list[Bool[np.ndarray, "n length"]]
    ) -> Hits:
        return _free_hits(codes, lengths, self.motifs, self.thresholds, core)

    def _redraw(
        self,
        codes: np.ndarray,
        rows: np.ndarray,
        hits: Hits,
        taken: np.ndarray,
        drawn_for: tuple[np.ndarray, np.ndarray],
        rng: np.random.Generator,
    ) -> None:
        split, classes = drawn_for
        fresh, _ = self.background.draw(rng, split[rows], classes[rows])
        chosen = np.zeros(fresh.shape, dtype=bool)
        for row, start, width in zip(hits.row, hits.start, self.widths[hits.motif], strict=True):
            chosen[row, start : start + width] = True
        chosen &= ~taken[rows]
        codes[rows] = np.where(chosen, fresh, codes[rows])

    def _stuck(self, hits: Hits, taken: np.ndarray) -> Bool[np.ndarray, " hits"]:
        before = np.concatenate([np.zeros((len(taken), 1), dtype=np.int64), np.cumsum(taken, axis=1)], axis=1)
        width = self.widths[hits.motif]
        return np.asarray(before[hits.row, hits.start + width] - before[hits.row, hits.start] == width)


def _wanted(data: Dataset, names: Sequence[str] | None) -> list[Motif]:
    spec = data.spec
    if names is None:
        names = spec.scan.motifs if spec is not None and spec.scan is not None else _planted(data)
    members = [one for name in names for one in (spec.members(name) if spec is not None else (name,))]
    unknown = [name for name in members if name not in data.motifs]
    if unknown or not members:
        what = f"no motif {unknown[0]!r}" if unknown else "no motif to look for"
        raise InputError(f"There is {what}; the data set's motifs are {', '.join(data.motifs) or 'unknown'}.")
    return [data.motifs[name] for name in dict.fromkeys(members)]


def _planted(data: Dataset) -> list[str]:
    counted = data.instances["motif"][data.instances["role"].isin(COUNTED)]
    return [name for name in data.motifs if (counted == name).any()]


def _free_hits(
    codes: UInt8[np.ndarray, "n length"],
    lengths: Int[np.ndarray, " n"],
    motifs: Sequence[Motif],
    thresholds: Sequence[float],
    core: Sequence[Bool[np.ndarray, "n length"]],
) -> Hits:
    """Hits of which less than half lies on what is planted, given for each motif."""
    hits = find_hits(codes, motifs, thresholds, lengths)
    free = np.zeros(len(hits.row), dtype=bool)
    before: np.ndarray | None = None
    for number, motif in enumerate(motifs):
        if before is None or core[number] is not core[number - 1]:
            start = np.zeros((len(codes), 1), dtype=np.int64)
            before = np.concatenate([start, np.cumsum(core[number], axis=1)], axis=1)
        mine = hits.motif == number
        row, begin = hits.row[mine], hits.start[mine]
        free[mine] = 2 * (before[row, begin + motif.width] - before[row, begin]) < motif.width
    return Hits(*(column[free] for column in hits))


def _cover(
    shape: tuple[int, ...], row: np.ndarray, start: np.ndarray, end: np.ndarray
) -> Bool[np.ndarray, "n length"]:
    steps = np.zeros((shape[0], shape[1] + 1), dtype=np.int16)
    np.add.at(steps, (row, start), 1)
    np.add.at(steps, (row, end), -1)
    return np.asarray(np.cumsum(steps[:, :-1], axis=1) > 0)

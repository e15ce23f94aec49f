"""Which matrices of JASPAR motifs would be joined as one: pairs of different ones, and forms of the same one.

Of each matrix instances are drawn into random flanks, and bounded as found motifs are. Then:

pairs
    of two matrices, of different families or of one (JASPAR's ``family``): share that is one by similarity
    (`genoplrp.sites.overlay`), or by that or `one_matrix`.
forms
    of one matrix: of its instances the quarter that is strong in its first half rather than in its second one, and the
    quarter that is strong in the second one, each bounded from its own half and the two bases next to it.

Run: python -m benchmarks.joining [--pairs 5000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.timing import machine, table
from genoplrp.sequence import codes_to_one_hot
from genoplrp.sites import FoundMotif, bounded, jaspar_vertebrates, overlay
from genoplrp.sites.instances import counted_anew
from genoplrp.sites.overlays import ALIKE, one_matrix
from genoplrp.synthetic import Motif

INSTANCES, LENGTH, START, ROOM = 60, 160, 60, 2
COLUMNS = ("of", "number", "similar", "joined")


def drawn(motif: Motif, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return base numbers (n, LENGTH) of random sequences with an instance at START."""
    codes = rng.integers(4, size=(n, LENGTH), dtype=np.uint8)
    choice = rng.random((n, 1, motif.width)) > motif.pwm.cumsum(axis=0)
    codes[:, START : START + motif.width] = choice.sum(axis=1).clip(0, 3)
    return codes


def found(X: np.ndarray, rows: np.ndarray, start: int, end: int) -> FoundMotif:
    """Return the motif of some rows between two columns, bounded."""
    table = pd.DataFrame({"motif": "positive_0", "sequence": rows, "start": start, "end": end, "strand": "+"})
    nothing = np.full((4, end - start), 0.25)
    return bounded(counted_anew(FoundMotif("positive_0", nothing, nothing, table), X, X), X, X)


def are_one(one: FoundMotif, other: FoundMotif, X: np.ndarray) -> tuple[bool, bool]:
    """Return whether two are one by similarity, and by that or by one matrix."""
    similar = overlay(one.pwm, other.pwm).similarity >= ALIKE
    return similar, similar or one_matrix(one, other, X) is not None


def pair(one: Motif, other: Motif, rng: np.random.Generator) -> tuple[bool, bool]:
    """Return `are_one` of two matrices."""
    X = codes_to_one_hot(np.concatenate([drawn(motif, INSTANCES, rng) for motif in (one, other)]))
    rows = np.arange(2 * INSTANCES).reshape(2, -1)
    parts = [found(X, own, START, START + m.width) for own, m in zip(rows, (one, other), strict=True)]
    return are_one(*parts, X)


def forms(motif: Motif, rng: np.random.Generator) -> tuple[bool, bool]:
    """Return `are_one` of two quarters of a matrix's instances: strong in its first half, or in the second one."""
    codes, half = drawn(motif, 4 * INSTANCES, rng), motif.width // 2
    X = codes_to_one_hot(codes)
    score = np.log2(motif.smoothed(0.01 * motif.sites).pwm * 4)
    each = score[codes[:, START : START + motif.width], np.arange(motif.width)]
    order = np.argsort(each[:, half:].sum(axis=1) - each[:, :half].sum(axis=1), kind="stable")
    ends = ((START, START + half + ROOM), (START + half - ROOM, START + motif.width))
    parts = [
        found(X, rows, *at) for rows, at in zip((order[:INSTANCES], order[-INSTANCES:]), ends, strict=True)
    ]
    return are_one(*parts, X)


def main() -> None:
    """Draw, print a table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    motifs = [one for one in jaspar_vertebrates() if one.width <= LENGTH - 2 * START]
    rows: dict[str, list[tuple[bool, bool]]] = {}
    for i, j in rng.integers(len(motifs), size=(given.pairs, 2)):
        if i != j:
            kind = "one family" if motifs[i].family == motifs[j].family else "different families"
            rows.setdefault(f"pairs of {kind}", []).append(pair(motifs[i], motifs[j], rng))
    families = pd.Series([one.family for one in motifs])
    for i in rng.permutation(len(motifs))[: given.pairs // 5]:
        near = np.flatnonzero((families == families[i]) & (families.index != i))
        if len(near):
            other = motifs[int(rng.choice(near))]
            rows.setdefault("pairs of one family", []).append(pair(motifs[i], other, rng))
        if motifs[i].width >= 8:
            rows.setdefault("forms of one matrix", []).append(forms(motifs[i], rng))
    shares = [
        {"of": kind, "number": len(own)}
        | {
            name: f"{100 * share:.1f} %"
            for name, share in zip(COLUMNS[2:], np.mean(own, axis=0), strict=True)
        }
        for kind, own in rows.items()
    ]
    print(table(shares, COLUMNS))
    if given.json is not None:
        given.json.write_text(json.dumps({"machine": machine(), "rows": shares}, indent=1) + "\n")


if __name__ == "__main__":
    main()

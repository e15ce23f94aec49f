"""How often a motif gets its own name: planted and found motifs, and JASPAR's own matrices, looked up in JASPAR.

A name is right if the base of the matrix id is (MA0058 of MA0058.4). And how often motifs that are in no database get a
name: by the q-value alone, and as `genoplrp.sites.motif_table` gives one. Run:
``python -m benchmarks.names --data data/ --motifs motifs/``: `data` with its ``motifs.meme``, `motifs` a folder of
``genoplrp motifs``; each found motif is compared with the planted one that it is most like.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.timing import machine
from genoplrp.sites import FoundMotif, jaspar_vertebrates, match_motifs, motif_table, overlay
from genoplrp.sites.matching import CERTAIN
from genoplrp.synthetic import Motif, read_motifs

RELEASES = ("JASPAR2016", "JASPAR2024")
FLANK, INSTANCES, SAMPLE, LISTED = 8, 150, 200, 40
WORDS = ((0, 2), (2, 3), (1, 0, 2), (0, 2, 2))
"""AG, GT, CAG, AGG."""


def base(motif: Motif) -> str:
    """Accession without its version."""
    return motif.matrix_id.partition(".")[0]


def sampled(pwm: np.ndarray, n: int, rng: np.random.Generator, *, strongest: bool = False) -> np.ndarray:
    """Frequencies of n instances in random flanks; or of the stronger half of twice as many."""
    edge = np.full((4, FLANK), 0.25)
    wide = np.hstack([edge, pwm, edge])
    many = 2 * n if strongest else n
    codes = (rng.random((many, 1, wide.shape[1])) > wide.cumsum(axis=0)[None]).sum(axis=1).clip(0, 3)
    if strongest:
        score = np.log2(0.99 * wide + 0.0025)[codes, np.arange(wide.shape[1])].sum(axis=1)
        codes = codes[np.argsort(-score, kind="stable")[:n]]
    counts = np.eye(4)[codes].sum(axis=0).T + 1e-6
    return np.asarray(counts / counts.sum(axis=0))


def trimmed(wide: np.ndarray, name: str) -> FoundMotif:
    """As a found motif is: without the ends that are hardly conserved, which stay as flanks."""
    information = Motif(name, wide).information()
    strong = np.flatnonzero(information >= 0.2 * information.max())
    pwm = wide[:, strong[0] : strong[-1] + 1]
    table = pd.DataFrame(columns=["motif", "sequence", "start", "end", "strand"])
    return FoundMotif(name, pwm, pwm, table, flanked=wide)


def rank(query: FoundMotif, wanted: str, known: Sequence[Motif]) -> str:
    """Place of the wanted accession among the matches, and the name of the first one."""
    matches = match_motifs([query], known, nearest=LISTED)
    hit = np.flatnonzero(matches["matrix_id"].str.partition(".")[0] == wanted)
    place = str(int(hit[0]) + 1) if len(hit) else f"beyond {LISTED}"
    return place if place == "1" else f"{place} ({matches['match'].iloc[0]})"


def general(source: Sequence[Motif], known: Sequence[Motif], *, strongest: bool) -> dict[str, float]:
    """Share of JASPAR's own matrices, seen through instances, that get their name at the first place."""
    rng = np.random.default_rng(1)
    there = {base(one): one.family for one in known}
    able = [one for one in source if base(one) in there]
    rows = rng.permutation(len(able))[:SAMPLE]
    queries = [
        trimmed(sampled(able[i].pwm, INSTANCES, rng, strongest=strongest), f"m{k}")
        for k, i in enumerate(rows)
    ]
    matches = match_motifs(queries, known, nearest=5)
    table = motif_table(queries, matches).set_index("motif")
    matches["base"] = matches["matrix_id"].str.partition(".")[0]
    first, five, family, lost = [], [], [], []
    for query, i in zip(queries, rows, strict=True):
        own = matches[matches["motif"] == query.name]
        first.append(own["base"].iloc[0] == base(able[i]))
        five.append(base(able[i]) in set(own["base"]))
        family.append(own["family"].iloc[0] == there[base(able[i])])
        lost.append(family[-1] and own["q_value"].iloc[0] <= CERTAIN and not table["match"][query.name])
    return {"n": len(rows)} | {
        key: float(np.mean(values))
        for key, values in {
            "first": first,
            "among_five": five,
            "family_first": family,
            "right_family_but_no_name": lost,
        }.items()
    }


def strangers(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Frequencies of motifs that no transcription factor has, one of each kind."""

    def some(concentration: float, low: int, high: int) -> np.ndarray:
        return rng.dirichlet(np.full(4, concentration), size=int(rng.integers(low, high))).T

    def tract(bases: tuple[int, ...], low: int, high: int) -> np.ndarray:
        pwm = np.zeros((4, int(rng.integers(low, high))))
        pwm[list(bases)] = rng.dirichlet(np.full(len(bases), 3.0), size=pwm.shape[1]).T
        return float(rng.choice([0.75, 0.85, 0.95])) * (pwm - 0.25) + 0.25

    word = np.eye(4)[list(WORDS[rng.integers(len(WORDS))])].T * 0.96 + 0.01
    pairs = ((1, 3), (0, 2), (0, 3), (1, 2))
    return {
        "random columns": some(float(rng.choice([0.2, 0.5, 1.0])), 6, 20),
        "tract of one base": tract((int(rng.integers(4)),), 8, 22),
        "tract of two bases": tract(pairs[rng.integers(4)], 8, 22),
        "pyrimidines, then a word": np.hstack([tract((1, 3), 6, 16), some(2.0, 1, 2), word]),
        "weak columns, then a word": np.hstack([some(5.0, 6, 16), word]),
    }


def named_by_chance(known: Sequence[Motif], seed: int = 1) -> list[dict[str, object]]:
    """Share of the motifs that are in no database that have a name, by kind."""
    rng = np.random.default_rng(seed)
    queries, kinds = [], []
    for _ in range(SAMPLE):
        n = int(rng.choice([30, 60, 150, 400]))
        for kind, pwm in strangers(rng).items():
            queries.append(trimmed(sampled(pwm, n, rng), f"m{len(queries)}"))
            kinds.append(kind)
    table = motif_table(queries, match_motifs(queries, known, nearest=1))
    table = table.assign(kind=kinds, alone=table["q_value"] <= CERTAIN, here=table["match"].to_numpy() != "")
    shares = table.groupby("kind", sort=False)[["alone", "here"]].mean()
    return [
        {"kind": str(kind), "n": SAMPLE, "named by q alone": one["alone"], "named": one["here"]}
        for kind, one in shares.iterrows()
    ]


def planted(
    data: Path, folder: Path, databases: dict[str, list[Motif]], seed: int = 0
) -> list[dict[str, object]]:
    """For each found motif: the place of its right name, and the ceiling that the planted matrix itself sets."""
    known_here = [one for one in read_motifs(data / "motifs.meme") if one.matrix_id]
    rng, rows = np.random.default_rng(seed), []
    table = pd.read_csv(folder / "motifs.tsv", sep="\t")
    arrays = np.load(folder / "motifs.npz")
    for one in read_motifs(folder / "motifs.meme"):
        truth = max(known_here, key=lambda other: overlay(one.pwm, other.pwm).similarity)
        empty = pd.DataFrame(columns=["motif", "sequence", "start", "end", "strand"])
        found = FoundMotif(one.name, one.pwm, one.pwm, empty, arrays[f"{one.name}.flanked"])
        row: dict[str, object] = {
            "motif": one.name,
            "instances": int(table.set_index("motif")["sites"][one.name]),
            "planted": f"{truth.name} {truth.matrix_id}",
        }
        for release, known in databases.items():
            matrix = FoundMotif(one.name, truth.pwm, truth.pwm, empty)
            many = trimmed(sampled(truth.pwm, 1000, rng), one.name)
            for what, query in {"found": found, "matrix": matrix, "1,000 instances": many}.items():
                row[f"{release}, {what}"] = rank(query, base(truth), known)
        rows.append(row)
    return rows


def main() -> None:
    """Measure, print tables, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--motifs", type=Path, action="append", default=[], help="one for each --data")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    databases = {release: jaspar_vertebrates(release) for release in RELEASES}
    result: dict[str, object] = {"machine": machine()}
    rows = []
    for data, folder in zip(given.data, given.motifs, strict=True):
        rows += planted(data, folder, databases)
    if rows:
        print(pd.DataFrame(rows).T.to_string(), flush=True)
    result["planted"] = rows
    shares = []
    for source, known in (RELEASES[:1] * 2, RELEASES[1:] * 2, RELEASES):
        for strongest in (False, True):
            share = general(databases[source], databases[known], strongest=strongest)
            shares.append({"matrices of": source, "looked up in": known, "stronger half": strongest} | share)
    print(pd.DataFrame(shares).to_string(index=False))
    result["general"] = shares
    result["strangers"] = named_by_chance(databases[RELEASES[1]])
    print(pd.DataFrame(result["strangers"]).to_string(index=False))
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

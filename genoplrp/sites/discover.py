"""From explained sequences to a folder of sites and motifs: tables, MEME, BED, one page to read; no new methods."""

from __future__ import annotations

import ast
import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import genoplrp
from genoplrp.errors import InputError
from genoplrp.formats.tracks import write_bed
from genoplrp.formats.writing import written_folder
from genoplrp.sequence import codes_to_one_hot, one_hot_to_codes
from genoplrp.sites.calling import Explain, find_sites, locate_sites
from genoplrp.sites.motifs import FoundMotif, cluster_sites, match_motifs, motif_table

if TYPE_CHECKING:
    from torch import nn

    from genoplrp.formats.explained import Explained
    from genoplrp.synthetic import Motif


def discover_motifs(
    explained: Explained,
    explain: Explain,
    out: str | Path,
    *,
    fdr: float = 0.05,
    null: str = "background",
    sign: str = "both",
    database: Sequence[Motif] | None = None,
    limit: int = 5000,
    seed: int = 0,
    overwrite: bool = False,
    log: Callable[[str], None] | None = None,
) -> Path:
    """Call sites, cluster them into motifs, match these to known ones, and write it all into a folder.

    Parameters
    ----------
    explained : Explained
        Explained sequences, in memory or in a store.
    explain : callable
        Base numbers (n, L) -> relevance (n, L), as it was made; see `explain_alike`.
    out : path
        Folder to make: ``sites.tsv``, ``sites.bed``, ``motifs.tsv``, ``motifs.meme``, ``instances.tsv``,
        ``instances.bed``, ``matches.tsv``, ``figures/``, ``index.html``.
    fdr, null, sign, seed
        As in `find_sites`.
    database : sequence of Motif, optional
        Known motifs to match to.
    limit : int
        Use at most so many sequences, the first ones: they are held in memory.
    overwrite : bool
        Replace a folder that this function made.
    log : callable, optional
        Told what was found, a line at a time.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        If there are no sites or no motifs; nothing is written then.
    """
    say = log or (lambda line: None)
    X, scores = _held(explained, limit)
    regions = explained.regions.iloc[: len(X)].reset_index(drop=True)
    with written_folder(out, overwrite=overwrite) as part:
        relevance = scores.sum(axis=1)
        sites = find_sites(explain, one_hot_to_codes(X), relevance, fdr=fdr, null=null, sign=sign, seed=seed)
        if len(sites) == 0:
            raise InputError(
                f"no site stands out from shuffled sequences at a false-discovery rate of {fdr:g} in {len(X)} "
                "sequences: try more sequences, a larger --fdr, less pruning; or the model may not use motifs here"
            )
        counts = ", ".join(
            f"{count:,} of relevance {key}" for key, count in sites["sign"].value_counts().items()
        )
        say(f"{len(sites):,} sites in {sites['sequence'].nunique():,} of {len(X):,} sequences ({counts})")
        motifs = cluster_sites(X, scores, sites)
        matches = match_motifs(motifs, database) if database else None
        table = motif_table(motifs, matches)
        say(table.to_string(index=False))
        _write(part, sites, motifs, matches, table, regions)
        settings = {"fdr": fdr, "null": null, "sign": sign, "seed": seed, "sequences": len(X)}
        manifest = {"genoplrp": genoplrp.__version__, "settings": settings, "explained": explained.meta}
        (part / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return Path(out)


def explain_alike(
    model: nn.Module, explained: Explained, target: Any, *, device: str | None = None, batch_size: int = 64
) -> Explain:
    """Return a function that explains further sequences as those at hand were.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    explained : Explained
        Its ``meta`` holds rules and pruning; the first sequences are explained again to see that they agree.
    target : int or callable
        The output that was explained.
    device, batch_size
        As in `genoplrp.Explainer`.

    Raises
    ------
    InputError
        If the model does not give the relevance at hand.
    """
    import torch

    from genoplrp.relevance import Explainer, Pruning

    meta = explained.meta
    pruning = meta.get("pruning")
    made = None if pruning is None else Pruning(**{key: _literal(value) for key, value in pruning.items()})
    explainer = Explainer(model, meta["rules"], made, device=device, batch_size=batch_size, diagnostics=False)

    def explain(codes: np.ndarray) -> np.ndarray:
        X = torch.from_numpy(codes_to_one_hot(codes))
        return np.asarray(explainer(X, target).per_nucleotide.numpy())

    first = next(iter(explained.blocks()))
    few = slice(0, min(4, len(first.X)))
    again, there = explain(one_hot_to_codes(first.X[few])), first.scores[few].sum(axis=1)
    scale = float(np.abs(there).max()) or 1.0
    if float(np.abs(again - there).max()) > 0.01 * scale:
        raise InputError(
            "the model does not give the relevance at hand (it differs by "
            f"{np.abs(again - there).max() / scale:.0%} of the largest value): name the model, and the target, that "
            "were explained"
        )
    return explain


def _held(explained: Explained, limit: int) -> tuple[np.ndarray, np.ndarray]:
    blocks, held = [], 0
    for block in explained.blocks():
        blocks.append(block)
        held += len(block.X)
        if held >= limit:
            break
    X = np.concatenate([block.X for block in blocks])[:limit]
    return X, np.concatenate([block.scores for block in blocks])[:limit]


def _write(
    folder: Path,
    sites: pd.DataFrame,
    motifs: list[FoundMotif],
    matches: pd.DataFrame | None,
    table: pd.DataFrame,
    regions: pd.DataFrame,
) -> None:
    from genoplrp.synthetic import write_meme

    instances = pd.concat([one.instances for one in motifs], ignore_index=True)
    names = regions["name"].to_numpy()
    for name, rows in {"sites": sites, "instances": instances}.items():
        named = rows.assign(name=names[rows["sequence"].to_numpy()])
        named.to_csv(folder / f"{name}.tsv", sep="\t", index=False, lineterminator="\n")
    write_bed(locate_sites(sites, regions), folder / "sites.bed")
    placed = locate_sites(instances.assign(score=0.0), regions)
    flipped = (regions["strand"].to_numpy() == "-")[instances["sequence"].to_numpy()]
    own = instances["strand"].to_numpy()
    placed = placed.loc[:, ~placed.columns.duplicated()].assign(
        name=instances["motif"], strand=np.where((own == "-") != flipped, "-", "+")
    )
    write_bed(placed, folder / "instances.bed")
    table.to_csv(folder / "motifs.tsv", sep="\t", index=False, lineterminator="\n")
    write_meme(folder / "motifs.meme", [one.motif() for one in motifs])
    if matches is not None:
        matches.to_csv(folder / "matches.tsv", sep="\t", index=False, lineterminator="\n")
    (folder / "figures").mkdir()
    length = int(regions["end"].iloc[0] - regions["start"].iloc[0])
    for one in motifs:
        _draw(one, length, folder / "figures" / f"{one.name}.png")
    (folder / "index.html").write_text(_page(motifs, matches, table), encoding="utf-8")


def _draw(one: FoundMotif, length: int, path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from genoplrp.plotting import plot_logo, plot_motif

    figure = Figure(figsize=(max(4.0, 0.42 * one.width + 1.2), 5.6), layout="constrained")
    axes = figure.subplots(3)
    plot_motif(one.pwm, ax=axes[0])
    axes[0].set_title(f"{one.name}: {len(one.instances)} sites")
    plot_logo(one.contribution, ax=axes[1], title="mean relevance")
    middle = (one.instances["start"] + one.instances["end"]) / 2
    axes[2].hist(middle, bins=np.linspace(0, length, 41), color="0.4")
    axes[2].set_xlim(0, length)
    axes[2].yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    axes[2].spines[["top", "right"]].set_visible(False)
    axes[2].set_xlabel("position in the sequence (bp)")
    axes[2].set_ylabel("sites")
    figure.savefig(path, dpi=110)


def _page(motifs: list[FoundMotif], matches: pd.DataFrame | None, table: pd.DataFrame) -> str:
    style = "body{font:15px/1.4 sans-serif;margin:2em auto;max-width:60em}td,th{padding:.2em .8em;text-align:left}"
    parts = [table.to_html(index=False, border=0, float_format="{:.3g}".format)]
    for one in motifs:
        parts.append(f"<h2>{html.escape(one.name)}</h2><img src='figures/{one.name}.png' alt='logo'>")
        if matches is not None:
            rows = matches[matches["motif"] == one.name].drop(columns="motif")
            parts.append(rows.to_html(index=False, border=0, float_format="{:.3g}".format))
    body = "\n".join(parts)
    return f"<!doctype html><meta charset='utf-8'><title>Motifs</title><style>{style}</style><h1>Motifs</h1>\n{body}\n"


def _literal(value: Any) -> Any:
    """A setting as it was: manifests hold it as text."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value

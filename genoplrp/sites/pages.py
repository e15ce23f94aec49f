"""Motifs and filters as pages to read: an index, and for each motif its logos, matches, places and numbers."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from genoplrp.sites.filters import FilterView
from genoplrp.sites.matching import COUNTS, match_motifs, motif_table
from genoplrp.sites.motifs import FoundMotif
from genoplrp.sites.overlays import overlay
from genoplrp.wording import counted

if TYPE_CHECKING:
    from genoplrp.synthetic import Motif

_SHOWN = 3
_DRAWN = 24
"""Filters of a page that have a logo."""
_INDEX = ("consensus", "sites", "sequences", "relevance")  # columns of the index; the rest is in motifs.tsv
_STYLE = (
    "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:76em;padding:0 1em;color:#222}img{max-width:100%}"
    "table{border-collapse:collapse}td,th{padding:.25em .9em .25em 0;text-align:left}"
    "tr{border-bottom:1px solid #ddd}.wide{overflow-x:auto}small{color:#666}"
    ".motifs img{height:72px;max-width:none;display:block}.motifs .logo{overflow-x:auto;max-width:34em}"
    "@media(max-width:52em){.motifs table,.motifs tbody,.motifs tr,.motifs td{display:block}"
    ".motifs tr:first-child{display:none}.motifs tr{padding:.6em 0}.motifs .logo{max-width:100%}"
    ".motifs td{padding:.1em 0;overflow-wrap:anywhere}"
    ".motifs td[data-of]::before{content:attr(data-of) ': ';color:#666}}"
)


def write_pages(
    folder: Path,
    motifs: Sequence[FoundMotif],
    table: pd.DataFrame,
    matches: pd.DataFrame | None,
    known: Sequence[Motif],
    n: int,
    length: int,
) -> None:
    """Write ``index.html``, ``<motif>.html`` and their pictures.

    Parameters
    ----------
    folder : Path
        Where to.
    motifs, table, matches
        What was found: see `cluster_sites`, `motif_table`, `match_motifs`.
    known : sequence of Motif
        The known motifs that were matched to, for their logos.
    n, length : int
        Number and length of the sequences that were searched.
    """
    (folder / "figures").mkdir(exist_ok=True)
    matrices = {(one.name, one.matrix_id): one.pwm for one in known}
    rows = []
    for one in motifs:
        own = None if matches is None else matches[matches["motif"] == one.name]
        _logo(one.pwm, folder / "figures" / f"{one.name}.logo.png")
        _draw(one, own, matrices, length, folder / "figures" / f"{one.name}.png")
        row = table[table["motif"] == one.name].iloc[0]
        (folder / f"{one.name}.html").write_text(_motif_page(one, row, own, n), encoding="utf-8")
        link = f"<a href='{one.name}.html'>{one.name}</a>"
        image = (
            f"<a href='{one.name}.html'><img src='figures/{one.name}.logo.png' alt='logo of {one.name}'></a>"
        )
        shown = {key: _text(row[key]) for key in _INDEX}
        if matches is not None:
            shown["best match"] = _best_match(row)
        cells = "".join(f"<td data-of='{key}'>{value}</td>" for key, value in shown.items())
        rows.append(f"<tr><td>{link}</td><td><div class='logo'>{image}</div></td>{cells}</tr>")
    head = "".join(f"<th>{name}</th>" for name in ("motif", "logo", *shown))
    said = f"<p>{counted(len(motifs), 'motif')} in {counted(n, 'sequence')} of {length:,} bp.</p>"
    body = f"{said}<div class='motifs wide'><table><tr>{head}</tr>{''.join(rows)}</table></div>"
    counts = [name for name in table.columns if name.startswith(COUNTS)]
    if counts:
        by_target = table[["motif", *counts]].rename(columns=lambda name: name.removeprefix(COUNTS))
        told = by_target.to_html(index=False, border=0)
        body += f"<h2>Sites of each target</h2><div class='wide'>{told}</div>"
    (folder / "index.html").write_text(_page("Motifs", body), encoding="utf-8")


def _best_match(row: Any) -> str:
    """The name of a motif, and what else it could be; or that it has none."""
    if not row["match"]:
        return f"no name <small>({html.escape(row['no_name'])}; q = {row['q_value']:.2g})</small>"
    shares = f"shares {row['of_motif']:.0%} of the motif, {row['of_match']:.0%} of the match"
    rest = [row["matrix_id"], row["family"], f"q = {row['q_value']:.1g}", shares]
    also = [one for one in str(row["also"]).split(", ") if one]
    if also:
        rest.append(f"also {', '.join(also[:_SHOWN])}{' and others' if len(also) > _SHOWN else ''}")
    return f"{html.escape(str(row['match']))}<br><small>{html.escape('; '.join(filter(None, rest)))}</small>"


def write_filters(folder: Path, view: FilterView, known: Sequence[Motif] = ()) -> None:
    """Write ``filters.tsv``, ``filters.meme``, ``filters.html`` and their picture, and link the page from the index.

    Parameters
    ----------
    folder : Path
        Where to.
    view : FilterView
        The filters.
    known : sequence of Motif
        Known motifs to match to; none for no matches.
    """
    from matplotlib.figure import Figure

    from genoplrp.plotting import plot_filters
    from genoplrp.synthetic import write_meme

    table = view.table
    if known and view.motifs:
        best = motif_table(view.motifs, match_motifs(view.motifs, known, nearest=1))
        best = best.assign(filter=best["motif"].str.removeprefix("filter_").astype(int))
        columns = ["filter", "match", "matrix_id", "p_value", "q_value", "e_value", "of_motif", "of_match"]
        table = table.merge(best[columns], on="filter", how="left")
    table.to_csv(folder / "filters.tsv", sep="\t", index=False, lineterminator="\n")
    body = (
        f"<p>Channels of the layer {html.escape(view.layer)}, a position of which sees {view.width} bp; the strongest "
        "first.</p>"
    )
    if view.motifs:
        write_meme(folder / "filters.meme", [one.motif() for one in view.motifs])
        carried = table.set_index("filter")["relevance"]
        drawn = view.motifs[:_DRAWN]
        numbers = [int(one.name.removeprefix("filter_")) for one in drawn]
        share = table.set_index("filter")["share"].loc[numbers].to_numpy()
        rank = np.copysign(share, carried.loc[numbers].to_numpy())
        (folder / "figures").mkdir(exist_ok=True)
        figure = Figure(figsize=(11, 1.5 * -(-len(drawn) // 4)), layout="constrained")
        plot_filters([one.pwm for one in drawn], rank, names=[one.name for one in drawn], figure=figure)
        figure.savefig(folder / "figures" / "filters.png", dpi=110)
        body += "<p><img src='figures/filters.png' alt='logos of the filters'></p>"
    told = table.to_html(index=False, border=0, float_format="{:.3g}".format, na_rep="")
    body += f"<div class='wide'>{told}</div>"
    (folder / "filters.html").write_text(_page("Filters", body, up=True), encoding="utf-8")
    index = folder / "index.html"
    if index.is_file():
        link = f"<p><a href='filters.html'>Filters of {html.escape(view.layer)}</a></p></body>"
        index.write_text(index.read_text(encoding="utf-8").replace("</body>", link), encoding="utf-8")


def _motif_page(one: FoundMotif, row: Any, matches: pd.DataFrame | None, n: int) -> str:
    with_it = int(row["sequences"])
    keys = [name for name in ("target", "sequence") if name in one.instances]
    often = one.instances.groupby(keys).size().value_counts().sort_index()
    facts = {
        "consensus": row["consensus"],
        "width": f"{one.width} bp",
        "instances": f"{len(one.instances):,}",
        "sequences with it": f"{with_it:,} of {n:,} ({with_it / max(n, 1):.0%})",
        "in one sequence": ", ".join(f"{k} x in {count:,}" for k, count in often.items()) or "none",
        "on the strand as drawn": f"{(one.instances['strand'] == '+').mean():.0%}",
        "mean relevance of an instance": f"{row['relevance']:.3g}",
    }
    listed = "".join(
        f"<tr><th>{key}</th><td>{html.escape(str(value))}</td></tr>" for key, value in facts.items()
    )
    body = f"<table>{listed}</table><p><img src='figures/{one.name}.png' alt='logos and places of {one.name}'></p>"
    if matches is not None:
        shown = matches.drop(columns="motif")
        told = shown.to_html(index=False, border=0, float_format="{:.3g}".format)
        body += f"<h2>Matches</h2><div class='wide'>{told}</div>"
    return _page(one.name, body, up=True)


def _page(title: str, body: str, *, up: bool = False) -> str:
    back = "<p><a href='index.html'>All motifs</a></p>" if up else ""
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width,initial-scale=1'><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>{back}\n{body}\n</body></html>\n"
    )


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else html.escape(str(value))


def _logo(pwm: np.ndarray, path: Path) -> None:
    from matplotlib.figure import Figure

    from genoplrp.plotting import plot_motif

    figure = Figure(figsize=(max(1.6, 0.24 * pwm.shape[1]), 0.9), layout="constrained")
    ax = figure.subplots()
    plot_motif(pwm, ax)
    ax.set_axis_off()
    figure.savefig(path, dpi=220)  # shown at half its pixels


def _draw(
    one: FoundMotif,
    matches: pd.DataFrame | None,
    known: dict[tuple[str, str], np.ndarray],
    length: int,
    path: Path,
) -> None:
    """The motif, what it carries, the best matches laid under it column by column, and where it lies."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from genoplrp.plotting import plot_logo, plot_motif

    under = []
    for match in [] if matches is None else matches.head(_SHOWN).itertuples():
        pwm = known.get((str(match.match), str(match.matrix_id)))
        if pwm is not None:
            under.append((f"{match.match} {match.matrix_id}, p = {match.p_value:.1e}", pwm))
    laid = [overlay(one.pwm, pwm) for _, pwm in under]
    low = min([0, *(how.offset for how in laid)])
    high = max([one.width, *(how.offset + pwm.shape[1] for how, (_, pwm) in zip(laid, under, strict=True))])
    rows = 3 + len(under)
    figure = Figure(figsize=(max(5.0, 0.4 * (high - low) + 1.4), 1.55 * rows), layout="constrained")
    axes = figure.subplots(rows)
    plot_motif(
        _placed(one.pwm, -low, high - low), axes[0], title=f"{one.name}: {len(one.instances):,} instances"
    )
    contribution = np.pad(one.contribution, ((0, 0), (-low, high - low - one.width + low)))
    plot_logo(contribution, ax=axes[1], title="mean relevance")
    for ax, (title, pwm), how in zip(axes[2:-1], under, laid, strict=True):
        turned = pwm if how.strand == "+" else pwm[::-1, ::-1]
        ending = "" if how.strand == "+" else ", reverse complement"
        plot_motif(_placed(turned, how.offset - low, high - low), ax, title=title + ending)
    middle = (one.instances["start"] + one.instances["end"]) / 2
    axes[-1].hist(middle, bins=np.linspace(0, length, 41), color="0.4")
    axes[-1].set_xlim(0, length)
    axes[-1].yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    axes[-1].spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("position in the sequence (bp)")
    axes[-1].set_ylabel("instances")
    figure.savefig(path, dpi=110)


def _placed(pwm: np.ndarray, at: int, width: int) -> np.ndarray:
    """A motif among columns of no preference, which are drawn as nothing."""
    wide = np.full((4, width), 0.25)
    wide[:, at : at + pwm.shape[1]] = pwm / pwm.sum(axis=0)
    return wide

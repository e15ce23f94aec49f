"""The report as one self-contained HTML file, put together from its content; computing the content is not done here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from genoplrp import partial
from genoplrp.errors import InputError
from genoplrp.plotting.glyphs import BASES, SCHEMES, unit_glyph
from genoplrp.report.maps import MapStore, pack_floats
from genoplrp.scores import described

if TYPE_CHECKING:
    import pandas as pd

_SCRIPTS = ("data.js", "logo.js", "table.js", "scores.js", "app.js")


@dataclass(frozen=True, eq=False)
class ReportContent:
    """What a report shows.

    Attributes
    ----------
    title : str
        Heading.
    facts : mapping
        What a reader should know (model, data, versions), as name and text.
    names, sequences : sequence of str
        N names and N sequences of L bases.
    prediction : array, shape (N,)
        The explained output.
    label : array, shape (N,), optional
        The true label; NaN where it is missing.
    task : str
        What was explained.
    rules, methods : sequence of str
        R and K names that the reader can choose from.
    p : sequence of float
        P shares to prune.
    maps : MapStore
        (N, R * K * P) maps, in the order rules, methods, p.
    scores : mapping from metric to array, shape (N, R * K * P)
        Scores of each map; NaN where there is none.
    instances : DataFrame, optional
        ``sequence`` (0 to N - 1), ``start``, ``end``, ``motif``, ``strand`` and ``role``.
    notes : sequence of str
        What a reader should know of this report.
    figures : sequence of (str, str)
        Further pictures, to be folded out: a heading, and SVG.
    """

    title: str
    facts: Mapping[str, str]
    names: Sequence[str]
    sequences: Sequence[str]
    prediction: Float[np.ndarray, " n"]
    task: str
    rules: Sequence[str]
    methods: Sequence[str]
    p: Sequence[float]
    maps: MapStore
    scores: Mapping[str, Float[np.ndarray, "n maps"]]
    label: Float[np.ndarray, " n"] | None = None
    instances: pd.DataFrame | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    figures: Sequence[tuple[str, str]] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        n, n_maps, length = self.maps.values.shape
        wanted = len(self.rules) * len(self.methods) * len(self.p)
        if n == 0:
            raise InputError("there is no sequence to report: give one at least")
        if n_maps != wanted:
            raise InputError(f"{len(self.rules)} rules, {len(self.methods)} methods and {len(self.p)} p make {wanted}"
                             f" maps; got {n_maps}")  # fmt: skip
        if len(self.names) != n or len(self.sequences) != n or np.shape(self.prediction) != (n,):
            raise InputError(f"names, sequences and prediction must have {n} entries, one per sequence")
        if any(len(sequence) != length for sequence in self.sequences):
            raise InputError(f"sequences must have the length of the maps, {length}")
        for metric, values in self.scores.items():
            if values.shape != (n, n_maps):
                raise InputError(f"the scores {metric!r} must have shape {(n, n_maps)}; got {values.shape}")


def report_page(content: ReportContent) -> str:
    """Put the report together.

    Parameters
    ----------
    content : ReportContent
        What it shows.

    Returns
    -------
    str
        HTML that needs nothing else: no network, no other file.

    Examples
    --------
    >>> store = MapStore(1, 1, 4)
    >>> store.put(0, 0, np.array([[0.0, 1.0, 0.0, 0.0]]))
    >>> page = report_page(ReportContent("A report", {}, ["s"], ["ACGT"], np.zeros(1), "task", ["gamma"],
    ...     ["lambda"], [0.0], store, {"gini": np.full((1, 1), 0.75)}))
    >>> page.startswith("<!doctype html>")
    True
    """
    assets = files("genoplrp.report") / "assets"
    script = "\n".join((assets / name).read_text("utf-8") for name in _SCRIPTS)
    parts = {
        "title": escape(content.title),
        "style": (assets / "report.css").read_text("utf-8"),
        "script": f'"use strict";\n(() => {{\n{script}\n}})();',
        "meta": _for_script(_meta(content)),
        "figures": "\n".join(
            f"<details><summary>{escape(name)}</summary>{picture[picture.find('<svg') :]}</details>"
            for name, picture in content.figures
        ),
        "maps": "\n".join(
            f'<script type="text/plain" id="maps-{i}">{content.maps.packed(i)}</script>'
            for i in range(len(content.names))
        ),
    }
    page = (assets / "report.html").read_text("utf-8")
    # One pass: what is put in is never searched for places again.
    pieces = page.split("<!--put:")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("-->")
        filled += [parts[name], rest]
    return "".join(filled)


def write_report(content: ReportContent, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the report, completely or not at all.

    Parameters
    ----------
    content : ReportContent
        What it shows.
    path : str or Path
        The HTML file.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is False.
    InputError
        If its folder does not exist, or its name does not end in .html.
    """
    path = check_report_path(path, overwrite=overwrite)
    page = report_page(content)
    with partial.new_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def check_report_path(path: str | Path, *, overwrite: bool = False) -> Path:
    """Check, before the work begins, that the report can be written.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is False.
    InputError
        If its folder does not exist, or its name does not end in .html.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"the report is one HTML file: name a file that ends in .html instead of {path}")
    partial.check_file(path, overwrite=overwrite)
    return path


def _meta(content: ReportContent) -> dict[str, Any]:
    return {
        "title": content.title,
        "facts": dict(content.facts),
        "notes": list(content.notes),
        "names": list(content.names),
        "sequences": [sequence.upper() for sequence in content.sequences],
        "prediction": [round(float(value), 4) for value in content.prediction],
        "label": None
        if content.label is None
        else [None if np.isnan(value) else float(value) for value in content.label],
        "task": content.task,
        "rules": list(content.rules),
        "methods": list(content.methods),
        "p": [float(value) for value in content.p],
        "length": content.maps.values.shape[2],
        "scale": pack_floats(content.maps.scale),
        "scores": {metric: pack_floats(values) for metric, values in content.scores.items()},
        "labels": {metric: labels(metric) for metric in content.scores},
        "instances": instance_lists(content.instances, len(content.names)),
        **drawing_data(),
    }


def labels(metric: str) -> tuple[str, str, str | None]:
    """Return the short name of a metric, what it measures, and which way is better."""
    score = described(metric)
    return score.short or score.title, score.says or score.title, score.better


def drawing_data() -> dict[str, Any]:
    """Return what the browser needs to draw letters: outlines (SVG paths in the unit square) and colour schemes."""
    return {
        "glyphs": {base: _svg_path(base) for base in BASES},
        "schemes": {name: dict(colors) for name, colors in SCHEMES.items()},
    }


def instance_lists(table: pd.DataFrame | None, n: int) -> list[list[list[object]]]:
    """Return for each of n sequences its instances as [start, end, motif, strand, matters]."""
    found: list[list[list[object]]] = [[] for _ in range(n)]
    if table is None:
        return found
    roles = table["role"] if "role" in table.columns else ["core"] * len(table)
    columns = (table["sequence"], table["start"], table["end"], table["motif"], table["strand"], roles)
    for sequence, start, end, motif, strand, role in zip(*columns, strict=True):
        found[int(sequence)].append([int(start), int(end), str(motif), str(strand), str(role) == "core"])
    return found


def _svg_path(base: str) -> str:
    """Outline of a letter in the unit square, y upwards, in SVG's path language."""
    vertices, codes = unit_glyph(base)
    commands, i = [], 0
    while i < len(codes):
        letter, points = {1: ("M", 1), 2: ("L", 1), 3: ("Q", 2), 4: ("C", 3), 79: ("Z", 0)}[int(codes[i])]
        commands.append(letter + " ".join(f"{value:.4g}" for value in vertices[i : i + points].ravel()))
        i += max(points, 1)
    return "".join(commands)


def _for_script(value: object) -> str:
    """JSON that may stand in a script element: no tag can end in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

"""How results show themselves in a notebook: a logo thumbnail and a short table, as HTML; no widget, no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from genoplrp.plotting.arrays import as_array
from genoplrp.plotting.highlights import Highlight
from genoplrp.plotting.logo import plot_logo
from genoplrp.plotting.overview import plot_overview
from genoplrp.wording import counted

if TYPE_CHECKING:
    import torch

    from genoplrp.relevance import Explanation
    from genoplrp.synthetic import Dataset

_MOST_LETTERS = 400
_ROWS = 5
_LOW = 0.3  # height of letters that are not planted
_PARTS = ("train", "valid", "test")
_LEFT = " style='text-align:left'"


def repr_html(
    title: str,
    facts: Mapping[str, object] | None = None,
    *,
    logo: Float[np.ndarray, "4 length"] | torch.Tensor | None = None,
    caption: str = "",
    highlight: Highlight | None = None,
    rows: Sequence[Mapping[str, object]] = (),
    notes: Sequence[str] = (),
) -> str:
    """HTML for a notebook: a heading, facts, a logo thumbnail and a few rows of a table.

    Parameters
    ----------
    title : str
        Heading.
    facts : mapping, optional
        Names and values, in one line each.
    logo : array or tensor, shape (4, L), optional
        Relevance to draw; beyond 400 bases as an overview.
    caption : str
        Text above the logo.
    highlight : optional
        As in `plot_logo`.
    rows : sequence of mappings
        Rows of a table, all with the same keys.
    notes : sequence of str
        Text below.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If `logo` has another shape or holds NaN.

    Examples
    --------
    >>> repr_html("A result", {"sequences": 3}).startswith("<div")
    True
    """
    parts = [f"<strong>{escape(title)}</strong>"]
    if facts:
        cells = "".join(
            f"<tr><th{_LEFT}>{escape(str(k))}</th><td{_LEFT}>{escape(str(v))}</td></tr>"
            for k, v in facts.items()
        )
        parts.append(f"<table>{cells}</table>")
    if logo is not None:
        if caption:
            parts.append(f"<div style='margin-top:.5em'>{escape(caption)}</div>")
        alternative = escape(caption or "sequence logo")
        parts.append(
            f"<img alt='{alternative}' style='max-width:100%;background:#fff'"
            f" src='data:image/png;base64,{_thumbnail(logo, highlight)}'>"
        )
    if rows:
        head = "".join(f"<th>{escape(str(key))}</th>" for key in rows[0])
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_text(value))}</td>" for value in row.values()) + "</tr>"
            for row in rows
        )
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    parts += [f"<div style='opacity:.75;font-size:90%'>{escape(note)}</div>" for note in notes]
    return f"<div class='genoplrp'>{''.join(parts)}</div>"


def explanation_html(explanation: Explanation) -> str:
    """HTML of an explanation: the logo of the sequence with the largest output, and the first few sequences.

    Parameters
    ----------
    explanation : Explanation
        With ``relevance`` (N, 4, L), ``per_nucleotide``, ``prediction``, ``target`` and ``notes``.

    Returns
    -------
    str

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> r = np.eye(4)[None]
    >>> e = SimpleNamespace(relevance=r, per_nucleotide=r.sum(1), prediction=np.ones(1), target=0, notes=[])
    >>> "1 sequence of 4 bp" in explanation_html(e)
    True
    """
    relevance = as_array(explanation.relevance, "relevance")
    prediction = as_array(explanation.prediction, "prediction")
    n = len(relevance)
    if n == 0 or relevance.ndim != 3 or relevance.shape[1] != 4:
        return repr_html("Explanation", {"relevance": f"shape {relevance.shape}"}, notes=explanation.notes)
    scores = as_array(explanation.per_nucleotide, "per_nucleotide")
    best = int(prediction.argmax())
    rows = [
        {
            "sequence": i,
            "output": float(prediction[i]),
            "positive": float(np.maximum(scores[i], 0).sum()),
            "negative": float(np.minimum(scores[i], 0).sum()),
            "bases that are 0": f"{(scores[i] == 0).mean():.0%}",
        }
        for i in range(min(n, _ROWS))
    ]
    target = explanation.target if isinstance(explanation.target, int | str) else "one per sequence"
    facts = {"relevance": f"{n} sequence{'s' * (n > 1)} of {relevance.shape[2]:,} bp", "target": target}
    more = [f"... and {n - _ROWS} more: see .to_frame()"] if n > _ROWS else []
    return repr_html(
        "Explanation",
        facts,
        logo=relevance[best],
        caption=f"sequence {best}, output {prediction[best]:.2f}",
        rows=rows,
        notes=[*more, *explanation.notes],
    )


def dataset_html(data: Dataset) -> str:
    """HTML of a data set: its parts and tasks, and the first sequence that has something planted in it.

    Parameters
    ----------
    data : Dataset
        With ``sequences``, ``labels``, ``tasks``, ``split``, ``names``, ``instances`` and ``length``.

    Returns
    -------
    str

    Examples
    --------
    >>> from genoplrp.synthetic import Dataset
    >>> "2 sequences of 4 bp" in dataset_html(Dataset.from_sequences(["ACGT", "TTTT"], [1, 0]))
    True
    """
    n = len(data.sequences)
    found = set(map(str, data.split))
    parts = [*(part for part in _PARTS if part in found), *sorted(found - set(_PARTS))]
    rows = []
    for part in parts:
        labels = data.labels[data.split == part]
        present = {task: column[~np.isnan(column)] for task, column in zip(data.tasks, labels.T, strict=True)}
        means = {
            f"mean of {task}": float(column.mean()) if len(column) else np.nan
            for task, column in present.items()
        }
        rows.append({"split": part, "sequences": len(labels), **means})
    facts = {"size": f"{counted(n, 'sequence')} of {data.length:,} bp", "tasks": ", ".join(data.tasks)}
    if len(data.instances):
        facts["planted"] = (
            f"{counted(len(data.instances), 'instance')} of {counted(data.instances['motif'].nunique(), 'motif')}"
        )
    if not n or not len(data.instances) or data.length > _MOST_LETTERS:
        return repr_html("Dataset", facts, rows=rows)
    shown = int(data.instances["sequence"].iloc[0])
    planted = data.instances[data.instances["sequence"] == shown]
    height = np.full(len(data.sequences[shown]), _LOW)
    for start, end in zip(planted["start"], planted["end"], strict=True):
        height[start:end] = 1.0
    return repr_html(
        "Dataset",
        facts,
        logo=data.subset([shown]).one_hot()[0] * height,
        caption=f"{data.names[shown]} and what is planted in it",
        highlight=planted,
        rows=rows,
    )


def _thumbnail(relevance: object, highlight: Highlight | None) -> str:
    heights = as_array(relevance, "relevance")
    figure = Figure(figsize=(9.5, 1.6), layout="constrained")
    ax = figure.subplots()
    if heights.shape[-1] > _MOST_LETTERS:
        plot_overview(heights, ax, highlight=highlight)
    else:
        plot_logo(heights, ax, highlight=highlight)
    ax.set_xlabel("")
    ax.set_ylabel("")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

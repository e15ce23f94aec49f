"""The sequences that a command reads, of a data set or a FASTA file, and the sites that are known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from genoplrp.errors import InputError

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from genoplrp.synthetic import Dataset

_BED = ("sequence", "start", "end", "motif", "score", "strand")
_SILENT = ("decoy", "broken")
"""Roles of planted sites that do not count for the label."""
_LONGEST = 60
"""Characters of a file's header that a message shows."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Sequences of one length.

    Attributes
    ----------
    X : Tensor
        (N, 4, L) one-hot.
    names : list of str
        Of the sequences.
    planted : DataFrame, optional
        The data set's own sites, by row of `X`.
    first : int
        Number of the first one among the sequences that were selected; the others follow it.
    """

    X: torch.Tensor
    names: list[str]
    planted: pd.DataFrame | None = None
    first: int = 0

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with the number and the name of each sequence in place of its row of `X`.

        Places that are missing in some rows stay whole numbers.
        """
        if "sequence" not in table:
            return table
        rows = table["sequence"]
        names = rows.map(dict(enumerate(self.names)))
        out = table.drop(columns="sequence_name", errors="ignore")
        places = {column: out[column].astype("Int64") for column in ("start", "end") if column in out}
        out = out.assign(sequence=(rows + self.first).astype("Int64"), **places)
        out.insert(list(out).index("sequence") + 1, "sequence_name", names)
        return out


def from_dataset(data: Dataset, rows: Sequence[int] | np.ndarray) -> Chosen:
    """Return rows of a data set, and the sites that were planted there."""
    import torch

    from genoplrp.evaluation.blocks import pad

    part = data.subset(np.asarray(rows))
    sites = part.instances if len(part.instances) else None
    return Chosen(torch.from_numpy(pad(part.one_hot(), data.length)), list(part.names), sites)


def from_fasta(path: Path, limit: int | None = None) -> Chosen:
    """Return the records of a FASTA file, which must be of one length.

    Raises
    ------
    InputError
        If they are not.
    """
    import torch

    from genoplrp.sequence import one_hot_encode, read_fasta

    records = read_fasta(path)
    names, sequences = list(records.names)[:limit], list(records.sequences)[:limit]
    lengths = {len(sequence) for sequence in sequences}
    if len(lengths) > 1:
        raise InputError(f"{path} holds records of {min(lengths)} to {max(lengths)} bp: one length is needed")
    return Chosen(torch.from_numpy(np.asarray(one_hot_encode(sequences), dtype=np.float32)), names)


def read_sites(path: Path, names: Sequence[str], first: int = 0) -> pd.DataFrame:
    """Read a table of sites.

    Parameters
    ----------
    path
        Tab-separated: with a header that has ``sequence, start, end`` (and ``motif``, ``strand``), or BED, whose first
        column is the sequence. A sequence is named, or numbered. A site without a motif is called ``site``.
    names
        Of the sequences that are read; sites of others are left out.
    first
        Number of the first of them.

    Raises
    ------
    InputError
        If the file is no such table, or none of its sequences is known.
    """
    try:
        table = pd.read_csv(path, sep="\t", comment="#", dtype={"sequence": str})
        if not {"sequence", "start", "end"} <= set(table):
            header = ", ".join(map(str, table))
            table = pd.read_csv(path, sep="\t", comment="#", header=None, dtype={0: str})
            if table.shape[1] < 3 or any(table[k].dtype.kind not in "iu" for k in (1, 2)):
                raise InputError(
                    f"{path} needs columns sequence, start and end with tabs between them (or those of BED); it has "
                    f"{header if len(header) <= _LONGEST else header[:_LONGEST] + '...'}"
                )
            table = table.iloc[:, : len(_BED)].set_axis(list(_BED[: table.shape[1]]), axis=1)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"there is no file {path}; check the path") from None
    except InputError:
        raise
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is no tab-separated table of sites ({type(error).__name__}): give columns sequence, start and "
            "end, or BED, with tabs between them"
        ) from None
    number = {str(first + k): k for k in range(len(names))} | {name: k for k, name in enumerate(names)}
    rows = table["sequence"].map(number)
    if len(table) and rows.isna().all():
        raise InputError(
            f"{path} has sites of {table['sequence'].iloc[0]!r} and others, of which none is read here "
            f"({names[0]!r}, ...)"
        )
    known = table[rows.notna()].assign(sequence=rows[rows.notna()].astype(int))
    # `genoplrp motifs` leaves these blank where no motif takes the site.
    blank = {name: value for name, value in {"motif": "site", "strand": "."}.items() if name in known}
    return known.fillna(blank).reset_index(drop=True)


def silent_sites(sites: pd.DataFrame) -> list[str]:
    """Return a line on the planted sites that do not count for the label, if there are any."""
    if "role" not in sites:
        return []
    role = sites["role"].astype(str)
    counts = role[role.isin(_SILENT)].value_counts()
    said = ", ".join(f"{count} {role}" for role, count in counts.items())
    return [f"of {len(sites)} planted sites these do not count for the label: {said}"] if said else []


def with_roles(sites: pd.DataFrame) -> pd.DataFrame:
    """Return sites whose ``label`` names the role of those that do not count for the data set's label."""
    if "role" not in sites or "label" not in sites:
        return sites
    role = " (" + sites["role"].astype(str) + ")"
    return sites.assign(label=sites["label"].astype(str) + role.where(sites["role"].isin(_SILENT), ""))


def html_page(title: str, facts: Sequence[str], parts: Sequence[tuple[str, str | pd.DataFrame]]) -> str:
    """Return a page of one's own: a heading, lines of text, and pictures (SVG) or tables, each under its name."""
    from html import escape

    body = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(fact[:1].upper() + fact[1:])}</p>" for fact in facts)]
    for name, part in parts:
        body.append(f"<h2>{escape(name)}</h2>")
        if isinstance(part, str):
            body.append(f"<figure>{part[part.find('<svg') :]}</figure>")
        else:
            places = part.select_dtypes("Int64")
            part = part.assign(**places.astype(object).where(places.notna(), ""))
            body.append(
                "<div class='table'>"
                f"{part.to_html(index=False, float_format='{:.3g}'.format, border=0, na_rep='')}</div>"
            )
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222}"
        "figure{margin:0;overflow-x:auto}svg{max-width:100%;height:auto}.table{overflow-x:auto;max-height:30rem}"
        "table{border-collapse:collapse;font-size:13px}td,th{padding:.2rem .6rem;text-align:right;"
        "border-bottom:1px solid #ddd;white-space:nowrap}th{position:sticky;top:0;background:#fff}"
    )
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{style}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def svg_of(figure: Figure) -> str:
    """Return a figure as SVG, the same text for the same figure."""
    import io

    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "genoplrp"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()

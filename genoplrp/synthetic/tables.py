"""The rows of a data set's tables as text: the same bytes whether they are written at once or in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from genoplrp.synthetic.sources import SOURCE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.dataset import Dataset
    from genoplrp.synthetic.truth_tables import Truth

BED_COLUMNS = ("chrom", "start", "end", "name", "score", "strand", "role", "site", "tasks")

#: Ending of the columns that hold labels before noise.
CLEAN = ".clean"

#: File that says where sequences are from.
SOURCES = "sequences.tsv"


class Piece(NamedTuple):
    """Some consecutive sequences, ready to be written.

    Attributes
    ----------
    n : int
        Number of sequences.
    sequences, labels, instances : str
        Rows of the FASTA file, of ``labels.tsv`` and of ``instances.bed``.
    frames : (DataFrame, DataFrame) or None
        The two tables, where Parquet is asked for.
    profiles : array, (n, P, L), or None
        Reads at each base, where there are profile tasks.
    truth : Truth or None
        What sites and bases are worth, where it is asked for.
    sources : str
        Rows of ``sequences.tsv``, where the sequences are windows of others.
    """

    n: int
    sequences: str
    labels: str
    instances: str
    frames: tuple[pd.DataFrame, pd.DataFrame] | None = None
    profiles: np.ndarray | None = None
    truth: Truth | None = None
    sources: str = ""


def piece_of(data: Dataset, *, frames: bool = False, truth: bool = False) -> Piece:
    """Turn a data set (or a part of a larger one) into rows of text."""
    from genoplrp.synthetic.truth_tables import truth_of

    fasta = "".join(f">{name}\n{letters}\n" for name, letters in zip(data.names, data.sequences, strict=True))
    both = (labels_frame(data), bed_frame(data.names, data.instances)) if frames else None
    exact = truth_of(data) if truth else None
    instances = bed_text(data.names, data.instances)
    return Piece(
        len(data), fasta, labels_text(data), instances, both, data.profiles, exact, sources_text(data)
    )


def sources_header() -> str:
    """First line of ``sequences.tsv``."""
    return "\t".join(["name", *SOURCE_COLUMNS]) + "\n"


def sources_text(data: Dataset) -> str:
    """Rows of ``sequences.tsv``: where in another sequence each one lies."""
    if data.sources is None:
        return ""
    rows = zip(data.names, *(data.sources[name].tolist() for name in SOURCE_COLUMNS), strict=True)
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def labels_header(tasks: list[str], noisy: list[bool]) -> str:
    """First line of ``labels.tsv``."""
    clean = [task + CLEAN for task, noise in zip(tasks, noisy, strict=True) if noise]
    return "\t".join(["name", "split", "class", *tasks, *clean]) + "\n"


def labels_text(data: Dataset) -> str:
    """Rows of ``labels.tsv``: the shortest text that reads back as the same float32."""
    classes = ["."] * len(data) if data.classes is None else data.classes.tolist()
    columns = [_number_texts(column) for column in data.labels.T]
    if data.clean is not None:
        columns += [_number_texts(column) for column in data.clean[:, data.noisy].T]
    rows = zip(data.names, data.split.tolist(), classes, *columns, strict=True)
    return "".join("\t".join(row) + "\n" for row in rows)


def labels_frame(data: Dataset) -> pd.DataFrame:
    """``labels.tsv`` as a data frame."""
    import pandas as pd

    classes = np.full(len(data), ".") if data.classes is None else data.classes
    columns = {"name": data.names, "split": data.split, "class": classes}
    labels = {task: data.labels[:, k] for k, task in enumerate(data.tasks)}
    clean = {}
    if data.clean is not None:
        clean = {task + CLEAN: data.clean[:, k] for k, task in enumerate(data.tasks) if data.noisy[k]}
    return pd.DataFrame(columns | labels | clean)


def bed_header() -> str:
    """First line of ``instances.bed``, as a comment that BED readers skip."""
    return "#" + "\t".join(BED_COLUMNS) + "\n"


def bed_text(names: list[str], instances: pd.DataFrame) -> str:
    """Rows of ``instances.bed``."""
    if not len(instances):
        return ""
    columns = [instances[name].tolist() for name in ("sequence", "start", "end", "motif")]
    score = [f"{value:.3f}" for value in instances["score"].tolist()]
    rest = [_texts(instances[name]) for name in ("strand", "role", "site", "tasks")]
    return "".join(
        f"{names[sequence]}\t{start}\t{end}\t{motif}\t{bits}\t{strand}\t{role}\t{site}\t{tasks}\n"
        for sequence, start, end, motif, bits, strand, role, site, tasks in zip(
            *columns, score, *rest, strict=True
        )
    )


def bed_frame(names: list[str], instances: pd.DataFrame) -> pd.DataFrame:
    """``instances.bed`` as a data frame."""
    table = instances.astype(dict.fromkeys(("motif", "strand", "role", "site", "tasks"), str))
    return table.assign(sequence=[names[i] for i in table["sequence"]]).set_axis(
        ["chrom", "start", "end", "name", "strand", "role", "score", "site", "tasks"], axis=1
    )[list(BED_COLUMNS)]


def _texts(column: pd.Series) -> list[str]:
    """A categorical column as text, a dot where it is empty."""
    names = [str(name) or "." for name in column.cat.categories]
    return [names[code] for code in column.cat.codes.tolist()]


def _number_texts(column: np.ndarray) -> list[str]:
    if np.isin(column, (0, 1)).all():
        return ["1" if value else "0" for value in column]
    present = column[~np.isnan(column)]
    if (present == np.round(present)).all() and np.abs(present).max(initial=0) < 1e6:
        return ["nan" if np.isnan(value) else str(int(value)) for value in column]
    return [str(value) for value in column.astype(np.float32)]

"""Pictures and reports of explained regions of a genome, from a store; nothing is scanned."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from jaxtyping import Float

from genoplrp.errors import InputError
from genoplrp.formats.explained import Explained
from genoplrp.pipeline.report import METHODS, RULES, SHARES, sweeps
from genoplrp.pipeline.subject import Subject
from genoplrp.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.report import ReportContent
    from genoplrp.synthetic import Dataset

_CHUNK = 64


class RegionStore(Explained, Protocol):
    """A store of explained regions, as `genoplrp.open_store` opens it."""

    @property
    def prediction(self) -> Float[np.ndarray, " n"]:
        """(N,) explained output of every window."""
        ...

    @property
    def units(self) -> str:
        """Of ``prediction``: ``"output"`` or ``"logit"``."""
        ...

    def one_hot(self, rows: Any) -> Float[np.ndarray, "n 4 length"]:
        """One-hot sequences of some windows."""
        ...

    def relevance(self, rows: Any) -> Float[np.ndarray, "n 4 length"]:
        """Relevance of some windows."""
        ...


def region_figure(
    stores: Mapping[str, RegionStore],
    row: int,
    *,
    span: tuple[int, int] | None = None,
    width: float | None = None,
    **options: Any,
) -> Figure:
    """Draw one window of a genome, a row for each store, in genome coordinates and as the model read it.

    Parameters
    ----------
    stores
        Name of each row, and the store it shows; all explain the same windows.
    row
        Number of the window.
    span
        (start, end) on the chromosome, 0-based, half-open; by default the whole window. What lies outside of the window
        is left out.
    width
        Width of the figure in inches.
    **options
        Passed to `genoplrp.plotting.plot_logos`.

    Returns
    -------
    Figure
        Not registered with pyplot.

    Raises
    ------
    InputError
        If the stores do not explain the same windows, or the span does not touch the window.
    """
    from matplotlib.figure import Figure

    from genoplrp.plotting import plot_logos
    from genoplrp.plotting.logo import logo_width

    first_name, first = next(iter(stores.items()))
    here = first.regions.iloc[row]
    place = ["chrom", "start", "end", "strand"]
    for name, store in stores.items():
        if len(store) != len(first) or not (store.regions.iloc[row][place] == here[place]).all():
            apart = " and ".join(one.replace("\n", " ") for one in (first_name, name))
            raise InputError(f"{apart} explain different windows: draw them separately")
    start, end = (int(here["start"]), int(here["end"]))
    low, high = (start, end) if span is None else (max(start, span[0]), min(end, span[1]))
    if low >= high:
        asked = "-".join(map(str, span or ()))
        raise InputError(f"{asked} does not touch the window {here['chrom']}:{start}-{end}")
    forward = here["strand"] != "-"
    cut = slice(low - start, high - start) if forward else slice(end - high, end - low)
    rows = {name: store.relevance(np.array([row]))[0, :, cut] for name, store in stores.items()}
    what = "logit" if first.units == "logit" else "output"
    allele = f", {here['allele']} allele" if "allele" in here.index else ""
    figure = Figure(figsize=(width or logo_width(high - low), 0.8 + 1.2 * len(rows)))
    shared: dict[str, Any] = {
        "figure": figure,
        "start": low,
        "chrom": str(here["chrom"]),
        "strand": "+" if forward else "-",
        "title": f"{here['name']}{allele}, {what} {first.prediction[row]:.2f}",
    }
    plot_logos(rows, **shared | options)
    return figure


def region_report(
    store: RegionStore,
    rows: np.ndarray,
    subject: Subject | None = None,
    *,
    target: int | str | None = None,
    rules: Sequence[str] = RULES,
    methods: Sequence[str] = METHODS,
    p: Sequence[float] = SHARES,
    title: str | None = None,
    batch_size: int = 32,
    device: str | None = None,
    progress: bool = True,
) -> ReportContent:
    """Make the report of some windows of a store.

    Parameters
    ----------
    store
        The store.
    rows
        (n,) numbers of the windows.
    subject
        The model, to explain them at many p with several rules and methods; None for the maps that the store holds.
    target
        What is explained; by default what the store explains. Only with a model.
    rules, methods, p
        What the reader can choose from, with a model.
    title
        Heading; by default that of the store.
    batch_size, device, progress
        As in `genoplrp.Explainer`.

    Raises
    ------
    InputError
        If the model does not take these windows.
    """
    import torch
    from tqdm import tqdm

    from genoplrp.evaluation.sparsity import gini
    from genoplrp.report import MapStore, ReportContent
    from genoplrp.sequence import one_hot_decode

    regions = store.regions.iloc[rows]
    X = store.one_hot(rows)
    prediction = np.asarray(store.prediction[rows], dtype=np.float64)
    explained = str(store.meta["target"] if target is None else target)
    if subject is None:
        rules, methods, p = [store.meta["method"]], ["as stored"], [0.0]
        maps = MapStore(len(rows), 1, store.length)
        values = store.per_nucleotide(rows)
        maps.put(0, 0, values)
        scores = gini(values)[:, None]
    else:
        subject.check_length(store.length)
        wanted, explained, _ = subject.target(explained)
        maps = MapStore(len(rows), len(rules) * len(methods) * len(p), store.length)
        scores = np.full((len(rows), maps.values.shape[1]), np.nan)
        bar = tqdm(total=scores.size, desc="sweep", unit="map", disable=None if progress else True)
        for start in range(0, len(rows), _CHUNK):
            chunk = slice(start, min(start + _CHUNK, len(rows)))
            found = sweeps(subject.model, X[chunk], wanted, rules, methods, p, batch_size, device)
            for index, values, outputs in found:
                maps.put(start, index, values)
                prediction[chunk] = torch.as_tensor(outputs).numpy()
                scores[chunk, index] = gini(values)
                bar.update(len(values))
        bar.close()
    return ReportContent(
        title=title or f"Regions of {store.meta['inputs'].get('genome', {}).get('name', 'a genome')}",
        facts={
            "Model": store.meta["model"]["source"],
            "Method": store.meta["method"] if subject is None else "chosen below",
            "Explained": f"{explained} ({'the logit' if store.units == 'logit' else 'the output as it is'})",
            "Windows": f"{len(rows):,} of {len(store):,}, {store.length:,} bp",
            "Made by": f"genoplrp {__version__}",
        },
        names=[_name(row) for row in regions.to_dict("records")],
        sequences=one_hot_decode(X),
        prediction=prediction,
        task=explained,
        rules=list(rules),
        methods=list(methods),
        p=list(p),
        maps=maps,
        scores={"gini": scores},
        notes=[
            "Windows are shown as the model read them, from position 0: of the strand - the reverse complement. "
            "Letters are as high as the relevance of their base, in units of the explained output."
        ],
    )


def _name(row: Mapping[Hashable, object]) -> str:
    place = f"{row['chrom']}:{row['start']}-{row['end']}"
    named = str(row["name"])
    if "allele" in row:
        named = f"{named} {row['allele']}"
    strand = f" ({row['strand']})" if row["strand"] == "-" else ""
    return f"{place}{strand}" if named in ("", place, ".") else f"{named}  {place}{strand}"


def stored_relevance(store: RegionStore, data: Dataset, target: int = -1) -> AttributionFile:
    """Relevance of a store as a file of a data set's, whose sequences it explains by name.

    Raises
    ------
    InputError
        If a window has no name of the data set, or another length.
    """
    from genoplrp.formats.attribution import AttributionFile

    at = {name: row for row, name in enumerate(data.names)}
    names = store.regions["name"].astype(str)
    strange = [name for name in names if name not in at]
    if strange or store.length != data.length:
        what = (
            f"no sequence {strange[0]!r}" if strange else f"sequences of {data.length} bp, not {store.length}"
        )
        raise InputError(
            f"the data set has {what}: a store has truth where it explains a data set's own sequences (its FASTA)"
        )
    every = np.arange(len(store))
    return AttributionFile(
        store.relevance(every),
        prediction=store.prediction,
        target=np.full(len(store), target),
        sequence=np.array([at[name] for name in names]),
        meta={"method": store.meta["method"], "target": store.meta["target"]},
    )


def spread_rows(table: pd.DataFrame, limit: int) -> np.ndarray:
    """Numbers of at most this many windows, spread evenly over all."""
    return np.unique(np.linspace(0, len(table) - 1, min(limit, len(table))).round().astype(int))

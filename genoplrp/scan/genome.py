"""From files to a store in one call: model, genome and regions or variants in, relevance and tables out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance import Pruning, Rules, adapt_model
from genoplrp.relevance.axes import Layout
from genoplrp.relevance.inputs import automatic_batch
from genoplrp.relevance.targets import output_target
from genoplrp.scan.blocks import Task
from genoplrp.scan.models import LoadedModel, describe_output, fingerprint, load_any_model
from genoplrp.scan.places import check_place, shard_path
from genoplrp.scan.run import EngineName, Precision, scan
from genoplrp.scan.store import ScanStore, Values
from genoplrp.scan.summary import summarise
from genoplrp.scan.variants import write_effects
from genoplrp.sequence import (
    Genome,
    VariantWindows,
    Windows,
    place_variants,
    place_windows,
    read_regions,
    read_vcf,
    tile_regions,
)
from genoplrp.sequence.windows import Edge
from genoplrp.wording import counted


def scan_genome(
    model: str | Path | LoadedModel | nn.Module,
    fasta: str | Path,
    out: str | Path,
    *,
    bed: str | Path | None = None,
    vcf: str | Path | None = None,
    feature: str | None = None,
    tile: int | None = None,
    length: int | None = None,
    edge: Edge = "drop",
    max_unknown: float = 0.0,
    state_dict: str | Path | None = None,
    trust_pickle: bool = False,
    keras_objects: str | Path | None = None,
    layout: Layout | None = None,
    target: int | str = 0,
    rules: Rules | None = None,
    pruning: Pruning | None = None,
    consensus: bool = False,
    max_shift: int = 3,
    both_strands: bool = True,
    values: Values = "per_nucleotide",
    hypothetical: bool = False,
    dtype: Precision = "float32",
    batch_size: int | None = None,
    shard: tuple[int, int] | None = None,
    device: str | None = None,
    devices: Sequence[str] | None = None,
    engine: EngineName = "local",
    workers: int | None = None,
    address: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
    log: Callable[[str], None] | None = None,
) -> Path:
    """Explain a model on regions or variants of a genome, into a store.

    Parameters
    ----------
    model
        A `torch.nn.Module`, a `LoadedModel`, or what `load_any_model` takes.
    fasta
        Genome: FASTA (plain, gzip, bgzip) or 2bit.
    out
        Folder to make; see `scan` for what happens when the work is interrupted.
    bed, vcf
        Regions (BED, narrowPeak, GTF / GFF, bigBed); or variants, each explained with its reference and its alternative
        allele in a window around it; or both: each variant in the window of every region that holds it, on the region's
        strand. With neither, every record of the FASTA is a region: a sequence of the model's length, or, with `tile`,
        a chromosome to be covered.
    feature
        Of a GTF / GFF only this feature.
    tile
        Cover each region with windows this many bp apart, instead of one window at its centre or summit.
    length
        Length of the windows in bp; needed where the model does not say it.
    edge, max_unknown
        As in `genoplrp.sequence.place_windows`.
    state_dict, trust_pickle, keras_objects, layout
        As in `load_any_model`.
    target, rules, pruning, consensus, max_shift, both_strands
        As in `scan`.
    values, hypothetical, dtype, batch_size, shard, device, devices
        As in `scan`.
    engine, workers, address, overwrite, progress
        As in `scan`.
    log
        Told what was found, a line at a time.

    Returns
    -------
    Path
        The folder. For variants it holds ``effects.tsv``, a row a variant, too.

    Raises
    ------
    InputError
        If a file or an argument makes no sense.
    """
    say = log or (lambda line: None)
    loaded = _loaded(model, state_dict, trust_pickle, keras_objects, layout)
    length = _length(loaded, length)
    wanted, _ = output_target(target, loaded.tasks, loaded.outputs)
    returned = describe_output(loaded.model, length, wanted)
    say(f"{loaded.source} returns {returned} for sequences of {length} bp")
    check_place(Path(out) if shard is None else shard_path(Path(out), *shard), overwrite)
    genome = Genome(fasta)
    windows = None
    if vcf is not None and bed is None and (tile is not None or edge != "drop" or feature is not None):
        raise InputError(
            "--tile, --edge and --feature are for regions (--bed): without any, each variant lies in a window of its "
            "own, and those whose window reaches beyond the chromosome are dropped"
        )
    if vcf is None or bed is not None:
        regions = _records(genome, length, tile) if bed is None else read_regions(str(bed), feature=feature)
        regions = regions if tile is None else tile_regions(regions, length, tile)
        windows = place_windows(
            regions, genome, length, edge=edge, max_unknown=max_unknown, progress=progress
        )
    source = windows if vcf is None else _variants(vcf, genome, length, windows, max_unknown, say)
    assert source is not None
    _say_what_is_read(source, say)
    made = scan(
        loaded,
        source,
        out,
        target=target,
        rules=rules,
        pruning=pruning,
        consensus=consensus,
        max_shift=max_shift,
        both_strands=both_strands,
        values=values,
        hypothetical=hypothetical,
        dtype=dtype,
        batch_size=batch_size,
        shard=shard,
        device=device,
        devices=devices,
        inputs=_inputs(
            genome, bed, vcf, {"feature": feature, "tile": tile, "edge": edge, "max_unknown": max_unknown}
        ),
        engine=engine,
        workers=workers,
        address=address,
        overwrite=overwrite,
        progress=progress,
    )
    if shard is not None:
        return made
    if vcf is not None:
        write_effects(made)
    if log is not None:
        store = ScanStore(made)
        views = store.manifest.get("consensus")
        task = Task(
            loaded.model,
            wanted,
            rules,
            pruning,
            batch_size=batch_size or automatic_batch(length),
            device=devices[0] if devices else device,
            values=values,
            hypothetical=hypothetical,
            dtype=dtype,
            consensus=views,
        )
        for line in summarise(store, task):
            say(line)
    return made


def _loaded(
    model: str | Path | LoadedModel | nn.Module,
    state_dict: str | Path | None,
    trust_pickle: bool,
    keras_objects: str | Path | None,
    layout: Layout | None,
) -> LoadedModel:
    if isinstance(model, LoadedModel):
        return model
    if not isinstance(model, nn.Module):
        return load_any_model(
            model,
            state_dict=state_dict,
            trust_pickle=trust_pickle,
            keras_objects=keras_objects,
            layout=layout,
        )
    given = {"state_dict": state_dict, "keras_objects": keras_objects, "trust_pickle": trust_pickle or None}
    beside = [name for name, value in given.items() if value is not None]
    if beside:
        raise InputError(f"{beside[0]} is for a model on disk; this one is in memory and has its weights")
    return LoadedModel(adapt_model(model, layout), type(model).__name__, fingerprint(model))


def _variants(
    vcf: str | Path,
    genome: Genome,
    length: int,
    windows: Windows | None,
    max_unknown: float,
    say: Callable[[str], None],
) -> VariantWindows:
    if windows is not None:
        say(f"{counted(len(windows), 'window')} of regions; {len(windows.dropped):,} dropped")
    return place_variants(read_vcf(vcf), genome, length, windows=windows, max_unknown=max_unknown)


def _say_what_is_read(source: Windows | VariantWindows, say: Callable[[str], None]) -> None:
    what = " (two a variant)" if isinstance(source, VariantWindows) else ""
    say(f"{counted(len(source), 'window')}{what} of {source.length} bp; {len(source.dropped):,} dropped")
    for reason, count in source.dropped["reason"].value_counts().head(5).items():
        say(f"  {count:,}: {reason}")
    for note in source.notes:
        say(f"Note: {note}")


def _length(loaded: LoadedModel, length: int | None) -> int:
    if length is None and loaded.length is None:
        raise InputError(f"{loaded.source} does not say how long its sequences are: pass --length")
    if length is not None and loaded.length is not None and length != loaded.length:
        raise InputError(
            f"--length {length}: the model was trained on {loaded.length} bp; leave the option out"
        )
    return int(length if length is not None else loaded.length or 0)


def _records(genome: Genome, length: int, tile: int | None) -> pd.DataFrame:
    """Every record as a region."""
    sizes = genome.sizes
    for name, size in sizes.items():
        if tile is None and size != length:
            raise InputError(
                f"the record {name!r} of {genome.path} has {size:,} bp, the model reads {length}: give sequences of "
                "that length, or regions of a genome (--bed), or cover whole records with windows (--tile)"
            )
    names = list(sizes)
    return pd.DataFrame(
        {"chrom": names, "start": 0, "end": list(sizes.values()), "name": names, "score": 0.0, "strand": "+"}
    )


def _inputs(
    genome: Genome, bed: str | Path | None, vcf: str | Path | None, options: dict[str, object]
) -> dict[str, object]:
    """Names and checksums, not paths: a store can be moved, and two machines give the same bytes."""
    files = {"regions": bed if vcf is None or bed is not None else vcf}
    if bed is not None and vcf is not None:
        files["variants"] = vcf
    named = {
        kind: "every record"
        if path is None
        else {"name": Path(path).name, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
        for kind, path in files.items()
    }
    return {
        "genome": {"name": genome.path.name, "sha256": genome.checksum()},
        **named,
        "options": {key: value for key, value in options.items() if value is not None},
    }

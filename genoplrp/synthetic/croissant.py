"""A data set's folder described for catalogues, in Croissant (JSON-LD): its files, tables and columns, no data."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from genoplrp import partial
from genoplrp.errors import OutputExistsError
from genoplrp.synthetic.folder import check_manifest

#: Name of the description.
CROISSANT = "croissant.json"

_TSV = "text/tab-separated-values"
_FORMATS = {
    ".fa": "text/x-fasta",
    ".gz": "application/gzip",
    ".tsv": _TSV,
    ".bed": _TSV,
    ".parquet": "application/x-parquet",
    ".meme": "text/plain",
    ".toml": "application/toml",
    ".json": "application/json",
    ".vcf": "text/plain",
}
_WHOLE, _REAL, _TEXT = "sc:Integer", "sc:Float", "sc:Text"
#: What each column of the tables holds; a column of labels is named after its task.
_COLUMNS = {
    "labels.tsv": {
        "name": (_TEXT, "Name of the sequence in the FASTA file."),
        "split": (_TEXT, "Part of the split: train, valid or test."),
        "class": (_TEXT, "Class of the specification that the sequence was drawn from."),
    },
    "instances.bed": {
        "#chrom": (_TEXT, "Name of the sequence."),
        "start": (_WHOLE, "First base of the planted instance, 0-based."),
        "end": (_WHOLE, "Base after its last one."),
        "name": (_TEXT, "Motif."),
        "score": (_REAL, "Log-odds of the planted letters under the matrix, in bits."),
        "strand": (_TEXT, "Strand, + or -."),
        "role": (_TEXT, "Role of the instance, such as core, decoy or broken."),
        "site": (_TEXT, "Grammar site that it belongs to, or a dot."),
        "tasks": (_TEXT, "Tasks for which it matters, joined with commas, or a dot."),
    },
    "sequences.tsv": {
        "name": (_TEXT, "Name of the sequence in the FASTA file."),
        "chrom": (_TEXT, "Record of the genome that the window is from."),
        "start": (_WHOLE, "First base of the window, 0-based."),
        "end": (_WHOLE, "Base after its last one."),
        "strand": (_TEXT, "Strand, + or -."),
    },
}
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def write_croissant(folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Describe a data set's folder in Croissant, as ``croissant.json`` inside it.

    Parameters
    ----------
    folder : path
        Folder of a data set, as ``genoplrp simulate`` or :meth:`Dataset.save` writes it.
    overwrite : bool, default False
        Replace a description that is there.

    Returns
    -------
    Path
        The description.

    Raises
    ------
    InputError
        If the folder is not a data set, or damaged.
    OutputExistsError
        If there is a description already.

    References
    ----------
    Akhtar et al., *Croissant: A Metadata Format for ML-Ready Datasets*, NeurIPS 2024; format 1.0,
    https://docs.mlcommons.org/croissant/docs/croissant-spec.html.

    Examples
    --------
    >>> import tempfile
    >>> from genoplrp.synthetic import simulate
    >>> folder = Path(tempfile.mkdtemp()) / "xor"
    >>> simulate("xor", n=20).save(folder)
    >>> found = json.loads(write_croissant(folder).read_text())
    >>> found["name"], [table["name"] for table in found["recordSet"]]
    ('xor', ['instances', 'labels'])
    """
    folder = Path(folder)
    manifest = check_manifest(folder)
    path = folder / CROISSANT
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists already; pass overwrite=True.")
    text = json.dumps(describe_folder(folder, manifest), indent=2) + "\n"
    with partial.new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def describe_folder(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a folder with this manifest, as JSON-LD."""
    name, description, version = folder.name, "Sequences with labels.", 1
    if (folder / "spec.toml").exists():
        from genoplrp.synthetic.spec_toml import read_saved_spec

        spec, seed, _ = read_saved_spec(folder / "spec.toml")
        name, version = spec.name, spec.version
        description = (
            f"{spec.description or 'DNA sequences with planted motifs.'} Made by genoplrp simulate"
            + (f", seed {seed}." if seed is not None else ".")
        )
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": f"{description} {manifest['sequences']} sequences.",
        "version": f"{version}.0.0",
        "distribution": [_file(file, entry) for file, entry in manifest["files"].items()],
        "recordSet": [
            _table(folder / file, dict(zip(manifest["tasks"], manifest["kinds"], strict=True)))
            for file in manifest["files"]
            if file in _COLUMNS or file.endswith(".tsv")
        ],
    }


def _file(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{entry['bytes']} B",
        "encodingFormat": _FORMATS.get(Path(name).suffix, "application/octet-stream"),
        "sha256": entry["sha256"],
    }


def _table(path: Path, tasks: dict[str, str]) -> dict[str, Any]:
    with path.open(encoding="utf-8") as handle:
        columns = handle.readline().rstrip("\n").split("\t")
    fields = []
    for column in columns:
        kind, text = _COLUMNS.get(path.name, {}).get(column) or _label(column, tasks)
        field = {
            "@type": "cr:Field",
            "@id": f"{path.stem}/{column.lstrip('#')}",
            "name": f"{path.stem}/{column.lstrip('#')}",
            "description": text,
            "dataType": kind,
            "source": {"fileObject": {"@id": path.name}, "extract": {"column": column}},
        }
        fields.append(field)
    return {"@type": "cr:RecordSet", "@id": path.stem, "name": path.stem, "field": fields}


def _label(column: str, tasks: dict[str, str]) -> tuple[str, str]:
    task = column.removesuffix(".clean")
    if task not in tasks:
        return _TEXT, column
    before = " before noise" if column not in tasks else ""
    kind = _WHOLE if tasks[task] == "binary" else _REAL
    return kind, f"Label of the task {task} ({tasks[task]}){before}."

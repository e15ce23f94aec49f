"""The Croissant description: every file with its checksum, every column of every table with a type that fits it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from specs import table

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.sequence import write_fasta
from genoplrp.synthetic import Dataset, simulate, spec_from_table, write_croissant

READS = {"sc:Text": str, "sc:Integer": np.int64, "sc:Float": np.float64}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_fasta(tmp_path / "genome.fa", ["".join(rng.choice(list("ACGT"), 6_000))], ["c"])
    tasks = [{"name": "y", "rule": "A", "noise": 0.1}, {"name": "z", "kind": "real", "motifs": ["A", "B"]}]
    spec = spec_from_table(
        table(tasks=tasks, background={"kind": "genome", "file": str(tmp_path / "genome.fa")})
    )
    simulate(spec, n=40).save(tmp_path / "data", compress=True)
    return tmp_path / "data"


def test_a_description_names_every_file_and_types_every_column(folder: Path) -> None:
    found = json.loads(write_croissant(folder).read_text())
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0" and found["name"] == "small"
    files = {one["@id"]: one for one in found["distribution"]}
    assert set(files) == {path.name for path in folder.iterdir()} - {"manifest.json", "croissant.json"}
    for name, one in files.items():
        content = (folder / name).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
        assert one["contentSize"] == f"{len(content)} B"
    tables = {one["name"]: one for one in found["recordSet"]}
    assert set(tables) == {"labels", "instances", "sequences"}
    for one in tables.values():
        (source,) = {field["source"]["fileObject"]["@id"] for field in one["field"]}
        types = {field["source"]["extract"]["column"]: READS[field["dataType"]] for field in one["field"]}
        read = pd.read_csv(folder / source, sep="\t", dtype=types)
        assert list(read) == list(types) and len(read) > 10
    kinds = {field["name"]: field["dataType"] for field in tables["labels"]["field"]}
    assert kinds["labels/y"] == kinds["labels/y.clean"] == "sc:Integer" and kinds["labels/z"] == "sc:Float"
    # The data set is as whole as before, and made again as before.
    assert len(Dataset.load(folder)) == 40


def test_a_description_is_not_replaced_unasked_and_needs_a_data_set(folder: Path, tmp_path: Path) -> None:
    first = write_croissant(folder).read_bytes()
    with pytest.raises(OutputExistsError, match=r"croissant.json exists already"):
        write_croissant(folder)
    assert write_croissant(folder, overwrite=True).read_bytes() == first
    with pytest.raises(InputError, match="is not a data set"):
        write_croissant(tmp_path)

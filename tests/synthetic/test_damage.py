"""Thousands of damaged inputs, from a seed: each is read, or refused with a message of ours; nothing else is raised."""

import hashlib
import json
import random
import shutil
import tomllib
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from mutations import damaged_bytes, damaged_table, damaged_text
from specs import table

import genoplrp
from genoplrp.cli.main import main
from genoplrp.errors import InputError
from genoplrp.formats.attribution import AttributionFile
from genoplrp.sequence import read_fasta, write_fasta
from genoplrp.synthetic import Dataset, read_motifs, simulate, spec_from_table
from genoplrp.synthetic.windows import read_regions
from genoplrp.training import load_model, read_labelled_fasta, train

PRESETS = Path(genoplrp.__file__).parent / "synthetic" / "presets"
MOTIFS = {
    "meme": (PRESETS / "motifs" / "tal_gata.meme").read_bytes(),
    "jaspar": b">MA1.1 X\nA [1 2 3]\nC [3 2 1]\nG [0 0 1]\nT [9 9 9]\n\n>MA2.1 Y\nA [1 2]\nC [3 2]\nG [0 1]\nT [9 9]\n",
    "homer": b">ACGT\tX/chip\t5.0\n.1 .2 .3 .4\n.7 .1 .1 .1\n>ACG\tY/chip\t5.0\n.1 .2 .3 .4\n",
    "transfac": b"AC  M1\nXX\nID  X\nXX\nP0  A C G T\n01  1 2 3 4 N\n02  4 3 2 1 N\nXX\n//\n",
    "rows": b"1 2 3\n3 2 1\n0 0 1\n9 9 9\n",
}
FASTA = b">a x\nACGTNACGT\nACGT\n>b\nacgtRYK\n>c\nTTTT\n"
BED = b"chr1\t0\t100\tx\nchr2\t5\t90\n#c\nchr1\t200\t300\n"


def write(path: Path, content: bytes) -> None:
    """Write a file anew: some file systems send one that is emptied and filled again to the disk at once."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def read_all(cases: int, damage: Callable[[], None], read: Callable[[], object]) -> Counter[str]:
    """Damage and read so often; count what is read and what is refused."""
    found: Counter[str] = Counter()
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(cases):
            damage()
            try:
                read()
                found["read"] += 1
            except InputError as error:
                found["refused"] += 1
                assert len(str(error)) > 15
            except Exception as error:
                wrong.append("".join(traceback.format_exception(error)[-3:]))
    assert not wrong, f"{len(wrong)} of {cases}, the first:\n{wrong[0]}"
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets: of a preset; and of windows, with noise, real labels and lengths that differ."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    write_fasta(folder / "genome.fa", ["".join(rng.choice(list("ACGT"), 6_000))], ["c"])
    simulate("xor", n=12, seed=1).save(folder / "plain")
    spec = spec_from_table(
        table(
            length=[40, 60],
            background={"kind": "genome", "file": str(folder / "genome.fa")},
            sites={"s": {"motifs": ["A", "B"]}},
            tasks=[
                {"name": "y", "rule": "A", "noise": 0.1},
                {"name": "z", "kind": "real", "motifs": ["A", "B"]},
            ],
        )
    )
    simulate(spec, n=30).save(folder / "windows", compress=True)
    return folder


@pytest.mark.parametrize(("name", "cases"), [("plain", 160), ("windows", 160)])
def test_damaged_data_sets(made: Path, tmp_path: Path, name: str, cases: int) -> None:
    rng, work = random.Random(name), tmp_path / "work"
    files = sorted(path.name for path in (made / name).iterdir())

    def damage() -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(made / name, work)
        path = work / rng.choice(files)
        content = path.read_bytes()
        if path.suffix == ".json" and rng.random() < 0.8:
            content = json.dumps(damaged_table(json.loads(content), rng)).encode()
        elif path.name == "spec.toml" and rng.random() < 0.8:
            content = tomli_w.dumps(damaged_table(tomllib.loads(content.decode()), rng)).encode()
        elif path.suffix == ".gz" or rng.random() < 0.3:
            content = damaged_bytes(content, rng)
        else:
            content = damaged_text(content, rng)
        write(path, content)
        if path.suffix != ".json":  # the checksum fits, so that the reader of this file meets the damage
            manifest = json.loads((work / "manifest.json").read_bytes())
            digest = hashlib.sha256(content).hexdigest()
            manifest["files"][path.name] = {"bytes": len(content), "sha256": digest}
            write(work / "manifest.json", json.dumps(manifest).encode())

    def read() -> None:
        data = Dataset.load(work)
        data.one_hot(), data.mask(0), data.subset("train"), data.checksum(), repr(data)

    found = read_all(cases, damage, read)
    assert found["refused"] > cases / 2 and found["read"] > 10


def test_damaged_relevance_files(tmp_path: Path) -> None:
    rng, path = random.Random(2), tmp_path / "x.npz"
    relevance = np.random.default_rng(0).normal(size=(4, 4, 30))
    whole = AttributionFile(relevance, np.ones(4), np.zeros(4, int), np.arange(4), meta={"method": "lrp"})
    content = whole.save(tmp_path / "whole.npz").read_bytes()
    arrays = dict(np.load(tmp_path / "whole.npz"))
    others = [
        np.zeros(0),
        np.zeros((2, 2, 2, 2)),
        np.array("x"),
        np.array(["a", "b"]),
        np.full((4, 4, 30), np.nan),
    ]
    others += [np.array(5), np.zeros((4, 4), complex), np.array("[1]"), np.array("{"), np.full(4, 2**62)]

    def damage() -> None:
        if rng.random() < 0.7:
            write(path, damaged_bytes(content, rng))
            return
        some = dict(arrays)
        name = rng.choice(list(some))
        if rng.random() < 0.3:
            del some[name]
        else:
            some[name] = rng.choice([*others, some[name][..., None], some[name].astype("S4")])
        path.unlink(missing_ok=True)
        np.savez(path, **some)

    found = read_all(1_000, damage, lambda: AttributionFile.load(path))
    assert found["refused"] > 500


@pytest.mark.parametrize("kind", MOTIFS)
def test_damaged_motif_files(tmp_path: Path, kind: str) -> None:
    rng, path = random.Random(kind), tmp_path / "motifs.txt"
    damages = (damaged_text, damaged_text, damaged_bytes)
    found = read_all(
        200, lambda: write(path, rng.choice(damages)(MOTIFS[kind], rng)), lambda: read_motifs(path)
    )
    assert min(found["refused"], found["read"]) > 20


@pytest.mark.parametrize(
    ("content", "read"), [(FASTA, read_fasta), (BED, lambda path: read_regions(str(path)))]
)
def test_damaged_sequences_and_regions(
    tmp_path: Path, content: bytes, read: Callable[[Path], object]
) -> None:
    rng, path = random.Random(5), tmp_path / "file"
    damages = (damaged_text, damaged_bytes)
    found = read_all(400, lambda: write(path, rng.choice(damages)(content, rng)), lambda: read(path))
    assert min(found["refused"], found["read"]) > 20


def test_damaged_tables_of_labels(tmp_path: Path) -> None:
    rng, fasta, labels = random.Random(7), tmp_path / "x.fa", tmp_path / "x.tsv"
    files = {
        fasta: b">a\nACGTACGTAC\n>b\nGGGGGGGGGG\n>c\nGGGGTTGGGG\n",
        labels: b"name\ty\na\t1\nb\t0\nc\t1\n",
    }

    def damage() -> None:
        for path, content in files.items():
            write(path, content)
        path = rng.choice(list(files))
        write(path, rng.choice((damaged_text, damaged_bytes))(files[path], rng))

    found = read_all(200, damage, lambda: read_labelled_fasta(fasta, labels))
    assert min(found["refused"], found["read"]) > 20


def test_damaged_cards_of_models(tmp_path: Path) -> None:
    rng, work = random.Random(8), tmp_path / "model"
    data = simulate("xor", n=60, seed=1)
    train(data, "koo", epochs=1, bootstrap=0, progress=False).save(work)
    card = json.loads((work / "model.json").read_text())
    found = read_all(
        60,
        lambda: write(work / "model.json", json.dumps(damaged_table(card, rng)).encode()),
        lambda: load_model(work),
    )
    assert min(found["refused"], found["read"]) > 5


def test_damaged_specifications() -> None:
    rng, spec = random.Random(6), {}
    tables = [
        tomllib.loads((PRESETS / f"{name}.toml").read_text())
        for name in ("xor", "cooperative", "spacing", "koo2021", "tal_gata", "order")
    ]

    def damage() -> None:
        spec.clear()
        spec.update(damaged_table(rng.choice(tables), rng))

    found = read_all(300, damage, lambda: simulate(spec_from_table(spec, folder=PRESETS), n=3))
    assert found["refused"] > 100 and found["read"] > 30


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("manifest.json", lambda text: text.replace('"sha256"', '"sha"', 1), "no size or no checksum"),
        ("manifest.json", lambda text: text.replace('"files"', '"file"'), "its 'files' is 'missing'"),
        ("manifest.json", lambda text: "[]", "it is not a table"),
        ("labels.tsv", lambda text: text[: text.rstrip().rindex("\n") + 1], "does not name the sequences"),
        ("labels.tsv", lambda text: text.replace("\t1\n", "\tmany\n", 1), "Labels are not numbers"),
        ("labels.tsv", lambda text: text[:-1] + "\tx\n", "is damaged"),
        ("instances.bed", lambda text: text.replace("\tTAL1\t", "\t", 1), "is damaged"),
        ("spec.toml", lambda text: text.replace('name = "label"', 'name = "other"'), "has other tasks than"),
    ],
)
def test_the_command_line_names_what_is_damaged(
    made: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    damage: Callable[[str], str],
    words: str,
) -> None:
    shutil.copytree(made / "plain", tmp_path / "data")
    text = damage((tmp_path / "data" / file).read_text())
    (tmp_path / "data" / file).write_text(text)
    if file != "manifest.json":
        manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
        digest = hashlib.sha256(text.encode()).hexdigest()
        manifest["files"][file] = {"bytes": len(text.encode()), "sha256": digest}
        (tmp_path / "data" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SystemExit) as end:
        main(["train", str(tmp_path / "data"), "-o", str(tmp_path / "model"), "--epochs", "1"])
    shown = capsys.readouterr().err
    assert end.value.code == 2 and words in shown and file.split(".")[0] in shown and "Failed" not in shown

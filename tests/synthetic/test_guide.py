"""What the guides to generating and training say is read and run as it stands."""

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from specs import table

from genoplrp.sequence import write_fasta
from genoplrp.synthetic import load_spec, simulate, spec_from_table, write_meme

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "how-to"


def blocks(guide: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (GUIDES / guide).read_text(encoding="utf-8"), re.S)


TOML = blocks("benchmark-sequences.md", "toml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the guide names."""
    rng = np.random.default_rng(0)
    real = ["".join(rng.choice(list("ACGT"), 3000)) for _ in range(3)]
    write_fasta(tmp_path / "real.fa", real, ["chr1", "chr2", "chr3"])
    write_fasta(tmp_path / "peaks.fa", [one[:200] for one in real])
    (tmp_path / "allowed.bed").write_text("chr1\t0\t2000\nchr3\t500\t2500\n")
    found = {**load_spec("koo2021").matrices, **load_spec("tal_gata").matrices}
    write_meme(tmp_path / "motifs.meme", [found[name] for name in ("GATA1", "TAL1", "SP1", "MAX")])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_whole_specification_makes_what_it_says(folder: Path) -> None:
    spec = spec_from_table(tomllib.loads(TOML[0]), folder=folder)
    data = simulate(spec, n=2_000, seed=1)
    assert data.classes is not None and data.clean is not None
    active = data.tasks.index("active")
    assert data.clean[:, active].tolist() == (data.classes == "right").tolist()
    assert data.report["noisy"] > 0
    assert (data.labels[:, active] != data.clean[:, active]).mean() == pytest.approx(0.02, abs=0.01)
    assert not set(data.instances["sequence"]) & set(np.flatnonzero(data.classes == "shuffled"))
    assert set(map(len, data.sequences)) == set(range(180, 221))


@pytest.mark.parametrize("text", TOML[1:], ids=lambda text: text.splitlines()[1].split("#")[0].strip())
def test_parts_of_specifications_can_be_used(folder: Path, text: str) -> None:
    part: dict[str, Any] = tomllib.loads(text)
    if "motifs" in part:
        part |= {"tasks": [{"name": "label", "rule": "core"}]}
        planted = [{"motifs": "core"}, {"motifs": "decoys", "role": "decoy"}]
        part |= {"classes": [{"name": "all", "fraction": 1.0, "plant": planted}]}
    data = simulate(spec_from_table(table(**part), folder=folder), n=50)
    assert len(data) == 50


def test_rules_of_the_guide_are_understood() -> None:
    from genoplrp.synthetic.rules import parse_rule

    for line in blocks("benchmark-sequences.md", "text")[0].splitlines():
        assert parse_rule(line).names


@pytest.mark.parametrize("guide", ["benchmark-sequences.md", "train.md"])
def test_python_of_the_guides_runs(guide: str, folder: Path) -> None:
    for block in blocks(guide, "python"):
        exec(compile(block, guide, "exec"), {})


@pytest.mark.parametrize("guide", ["benchmark-sequences.md", "train.md"])
def test_options_of_the_guides_exist(guide: str) -> None:
    from genoplrp.cli.main import cli

    for line in "".join(blocks(guide, "bash")).splitlines():
        words = line.split("#")[0].split()
        command = cli.commands.get(words[1]) or cli.get_command(None, words[1])  # type: ignore[arg-type]
        known = {name for option in command.params for name in option.opts}  # type: ignore[union-attr]
        assert {word for word in words if word.startswith("-")} <= known

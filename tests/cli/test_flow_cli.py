"""``genoplrp flow`` and ``genoplrp interactions``: folders with tables and pictures, and one message on bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genoplrp.cli.interactions import _in_words
from genoplrp.cli.main import main
from genoplrp.synthetic import Dataset, load_spec, simulate
from genoplrp.training import train


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and a network that has hardly learnt anything."""
    path = tmp_path_factory.mktemp("run")
    data = simulate(load_spec("spacing"), n=80, seed=3, progress=False)
    data.save(path / "data")
    small = {"filters": (6, 6), "dense": 8}
    train(data, "koo", 0, epochs=1, parameters=small, progress=False).save(path / "model")
    return path


def test_the_flow_of_many_sequences_says_which_channel_serves_which_motif(folder: Path) -> None:
    out = folder / "flow"
    assert run("flow", folder / "model", "-d", folder / "data", "-o", out, "--limit", 5, "--most", 3) == 0
    nodes = pd.read_csv(out / "nodes.tsv", sep="\t")
    assert set(nodes.loc[nodes["layer"] == "sites", "node"]) == {"GATA1", "TAL1", "elsewhere"}
    assert set(pd.read_csv(out / "purity.tsv", sep="\t")["site"]) <= {"GATA1", "TAL1"}
    assert (out / "flow.svg").read_text().lstrip().startswith("<?xml")
    assert "<svg" in (out / "flow.html").read_text()


def test_one_sequence_is_counted_among_those_selected_and_its_sites_keep_their_names(folder: Path) -> None:
    data = Dataset.load(folder / "data")
    row = ((data.split == "train") & (data.labels[:, 0] > 0)).nonzero()[0][3]
    sites = data.instances[data.instances["sequence"] == row]
    named = {f"{m} {s}-{e}" for m, s, e in zip(sites["motif"], sites["start"], sites["end"], strict=True)}
    one = folder / "model", "-d", folder / "data", "--split", "train", "--positives", "-i", 3
    assert run("flow", *one, "-o", folder / "one", "--layers", "conv2") == 0
    nodes = pd.read_csv(folder / "one" / "nodes.tsv", sep="\t")
    assert set(nodes["layer"]) == {"sites", "conv2", "output"}
    assert set(nodes.loc[nodes["layer"] == "sites", "node"]) == named | {"elsewhere"}
    single = nodes[nodes["node"].isin(named)]
    assert set(single["sequence"]) == {3}
    written = [line.split("\t") for line in (folder / "one" / "nodes.tsv").read_text().splitlines()]
    assert {row[written[0].index("start")] for row in written[1:]} == {str(s) for s in sites["start"]} | {""}
    assert set(single["sequence_name"]) == {data.names[row]}
    assert f"sequence 3 ({data.names[row]})" in (folder / "one" / "flow.html").read_text()
    # The number of --index is that of a table of sites, and of the tables that are written.
    table = sites[["start", "end", "motif", "strand"]].assign(sequence=3)
    table.to_csv(folder / "three.tsv", sep="\t", index=False)
    assert (
        run("flow", *one, "-o", folder / "given", "--layers", "conv2", "--sites", folder / "three.tsv") == 0
    )
    assert (folder / "given" / "nodes.tsv").read_text() == (folder / "one" / "nodes.tsv").read_text()
    assert run("interactions", *one, "-o", folder / "oneself", "--fills", 1, "--no-relevance") == 0
    found = pd.read_csv(folder / "oneself" / "sites.tsv", sep="\t")
    assert set(zip(found["sequence"], found["sequence_name"], strict=True)) == {(3, data.names[row])}


def test_interactions_of_planted_sites_and_of_a_table_agree(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    data = Dataset.load(folder / "data")
    both = folder / "model", "-d", folder / "data", "--limit", 4, "--fills", 2
    assert run("interactions", *both, "-o", folder / "pairs") == 0
    assert "GATA1 + TAL1" in capsys.readouterr().out
    table = data.instances[["sequence", "start", "end", "motif"]].assign(
        score=0, strand=data.instances["strand"]
    )
    table["sequence"] = [data.names[row] for row in table["sequence"]]
    table.to_csv(folder / "sites.bed", sep="\t", index=False, header=False)
    assert run("interactions", *both, "-o", folder / "again", "--sites", folder / "sites.bed") == 0
    first, second = (pd.read_csv(folder / name / "pairs.tsv", sep="\t") for name in ("pairs", "again"))
    pd.testing.assert_frame_equal(first, second)
    # Where no motif takes a site, the tables of sites are blank.
    table.assign(motif=np.where(np.arange(len(table)) % 2, table["motif"], None)).to_csv(
        folder / "blank.tsv", sep="\t", index=False
    )
    blank = "--sites", folder / "blank.tsv", "--no-relevance"
    assert run("interactions", *both, "-o", folder / "blank", *blank) == 0
    motifs = pd.read_csv(folder / "blank" / "sites.tsv", sep="\t")["motif"]
    assert set(motifs) == {"site", "GATA1", "TAL1"}
    for name in (
        "summary.tsv",
        "layout.tsv",
        "distance.tsv",
        "matrix.svg",
        "distance.svg",
        "interactions.html",
    ):
        assert (folder / "pairs" / name).stat().st_size > 50


def test_a_fasta_file_serves_with_sites_of_its_own(folder: Path) -> None:
    data = Dataset.load(folder / "data")
    (folder / "two.fa").write_text("".join(f">s{k}\n{data.sequences[k]}\n" for k in range(2)))
    (folder / "two.tsv").write_text("sequence\tstart\tend\ns0\t10\t20\ns0\t40\t50\n")
    both = folder / "model", "--fasta", folder / "two.fa"
    assert run("flow", *both, "-o", folder / "fasta") == 0
    assert run("interactions", *both, "-o", folder / "fasta2", "--sites", folder / "two.tsv") == 0
    assert len(pd.read_csv(folder / "fasta2" / "pairs.tsv", sep="\t")) == 1


def test_a_folder_is_replaced_only_if_it_is_asked_for_and_of_the_same_command(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    pairs = (
        "interactions",
        folder / "model",
        "-d",
        folder / "data",
        "--limit",
        2,
        "--fills",
        2,
        "--no-relevance",
    )
    flows = ("flow", folder / "model", "-d", folder / "data", "--limit", 2, "--layers", "conv1", "--most", 2)
    for first, second in ((pairs, flows), (flows, pairs)):
        out = folder / f"{first[0]}-once"
        assert run(*first, "-o", out) == 0
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        assert json.loads(before["manifest.json"])["command"] == first[0]
        assert run(*first, "-o", out) == 2
        assert "pass --force" in capsys.readouterr().err
        assert run(*second, "-o", out, "--force") == 2
        assert "not made by this command" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
        assert run(*first, "-o", out, "--force", "--limit", 1) == 0
        assert (out / f"{first[0]}.html").read_bytes() != before[f"{first[0]}.html"]
        assert json.loads((out / "manifest.json").read_text())["options"]["limit"] == 1


def test_bad_input_is_one_message(folder: Path, capsys: pytest.CaptureFixture) -> None:
    model, data = folder / "model", folder / "data"
    (folder / "far.tsv").write_text("sequence\tstart\tend\nchr9\t10\t20\n")
    (folder / "c.csv").write_text("sequence,start,end\n0,3,9\n")
    (folder / "ab.tsv").write_text("a\tb\n1\t2\n")
    (folder / "plain.fa").write_text(">a\n" + "ACGT" * 50 + "\n")
    cases = [
        (
            ("flow", model, "-d", data, "-o", folder / "x", "--layers", "conv9"),
            "no layer 'conv9'; it has conv1",
        ),
        (("flow", model, "-o", folder / "x"), "--dataset or --fasta"),
        (("flow", model, "-d", data, "-o", folder / "x", "-i", 5000, "--split", "all"), "has 80 sequences"),
        (("flow", model, "-d", data, "-o", folder / "x", "-i", 50), f"split test of {data} has"),
        (("flow", model, "-d", data, "-o", folder / "x", "-i", 1, "--limit", 2), "--index takes one"),
        (("flow", model, "--fasta", folder / "plain.fa", "-o", folder / "x", "--positives"), "no labels"),
        (
            ("interactions", model, "--fasta", folder / "plain.fa", "-o", folder / "x", "--split", "all"),
            "no splits",
        ),
        (
            ("interactions", model, "-d", data, "-o", folder / "x", "--sites", folder / "ab.tsv"),
            "needs columns sequence, start and end with tabs between them (or those of BED); it has a, b",
        ),
        (("flow", model, "-d", data, "-o", data), "exists already"),
        (("interactions", model, "--fasta", folder / "plain.fa", "-o", folder / "x"), "there are no sites"),
        (
            ("interactions", model, "-d", data, "-o", folder / "x", "--sites", folder / "far.tsv"),
            "none is read here",
        ),
        (
            ("interactions", model, "-d", data, "-o", folder / "x", "--sites", folder / "no.tsv"),
            "there is no file",
        ),
        (("flow", model, "-d", data, "-o", folder / "x", "--sites", folder), "there is no file"),
        (
            ("flow", model, "-d", data, "-o", folder / "x", "--sites", folder / "c.csv"),
            "with tabs between them",
        ),
    ]
    for arguments, message in cases:
        assert run(*arguments) in (1, 2)
        assert message in capsys.readouterr().err
    assert not (folder / "x").exists()
    assert not (folder / "x.partial").exists()


def test_interactions_say_no_interval_and_no_share_where_there_are_none(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ("--limit", 1, "--fills", 1, "--no-relevance")
    assert run("interactions", folder / "model", "-d", folder / "data", *options, "-o", folder / "few") == 0
    said = capsys.readouterr().out
    assert "pair" in said
    assert "nan" not in said
    assert "interact (q" not in said


def test_figures_of_pairs_have_decimals_that_can_be_read() -> None:
    row = {
        "motif_pair": "A + B",
        "interaction": 0.0374,
        "low": 2.99e-05,
        "high": 0.0749,
        "pairs": 1,
        "interacting": 0.0,
    }
    assert _in_words(row, called=True) == "A + B: +0.037 (0.000 to 0.075), 0% of 1 pair interacts (q <= .05)"
    large = row | {"interaction": -1234.5, "low": float("nan"), "pairs": 7}
    assert _in_words(large, called=False) == "A + B: -1234, 7 pairs"


def test_planted_sites_without_a_say_are_named(folder: Path, capsys: pytest.CaptureFixture) -> None:
    data = Dataset.load(folder / "data")
    k = int((data.labels[data.split == "train", 0] == 0).nonzero()[0][0])
    one = folder / "model", "-d", folder / "data", "--split", "train", "-i", k, "-o", folder / "negative"
    assert run("flow", *one, "--layers", "conv2") == 0
    assert "of 2 planted sites these do not count for the label: 2 broken\n" in capsys.readouterr().err
    page = (folder / "negative" / "flow.html").read_text()
    assert "(broken)" in page
    assert "grey nodes pool" in page
    assert "&lt;NA" not in page

"""A store opened by name, number and place, and drawn, reported and scored."""

import random
import re

import numpy as np
import pytest
import torch
from matplotlib import image

import genoplrp as gp
from genoplrp.cli.main import main
from genoplrp.errors import InputError
from genoplrp.sequence import reverse_complement

pytest.importorskip("zarr")
from genoplrp.pipeline.regions import region_figure
from genoplrp.scan import scan_genome

LENGTH = 40
NET = """
import torch
from torch import nn

def build():
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv1d(4, 5, 7), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(5, 2), nn.Sigmoid()
    )
"""
BED = """\
chr1\t100\t140\tgene1\t0\t+
chr1\t200\t240\tgene2\t0\t-
chr2\t0\t40\tchr1:7-9\t0\t+
chr1\t120\t160\tgene3\t0\t+
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    letters = random.Random(4)
    text = {name: "".join(letters.choices("ACGT", k=500)) for name in ("chr1", "chr2")}
    (folder / "g.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in text.items()))
    (folder / "net.py").write_text(NET)
    (folder / "r.bed").write_text(BED)
    for rules in ("gamma", "epsilon"):
        scan_genome(
            f"{folder}/net.py:build",
            folder / "g.fa",
            folder / rules,
            bed=folder / "r.bed",
            length=LENGTH,
            rules=rules,
            pruning=gp.Pruning(0.1) if rules == "gamma" else None,
        )
    return folder


@pytest.fixture
def store(folder):
    return gp.open_store(folder / "gamma")


def run(*args):
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in args])
    return stopped.value.code


@pytest.mark.parametrize(
    ("which", "rows"),
    [
        ("gene2", [1]),
        ("chr1:7-9", [2]),  # a name comes before a place
        ("chr1:125-130", [0, 3]),  # both hold it: the more central first
        ("1:100-118", [0]),
        ("chr1:130-210", [3, 0, 1]),
        (-1, [3]),
        ([2, 0], [2, 0]),
    ],
)
def test_windows_are_found_by_name_number_and_place(store, which, rows):
    assert np.asarray(store.rows(which)).tolist() == rows
    np.testing.assert_array_equal(store.relevance(which), store.relevance()[rows])
    np.testing.assert_array_equal(store.one_hot(which), store.one_hot()[rows])


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("gene9", "no window named 'gene9' .*gene1, gene2"),
        ("chr1:400-410", "those on chr1 reach from 100 to 240"),
        ("chrX:4-10", "they lie on chr1, chr2"),
        ("chr1:9-9", "start must be before end"),
        (4, "holds 4, 0 to 3"),
        (0.5, "rows are numbers"),
    ],
)
def test_what_is_not_there_is_said(store, which, said):
    with pytest.raises(InputError, match=said):
        store.rows(which)


def test_an_explanation_of_a_store_is_what_the_explainer_gave(store, folder):
    e = store.explanation("gene2")
    namespace: dict = {}
    exec(NET, namespace)
    fresh = gp.Explainer(namespace["build"]().eval(), pruning=gp.Pruning(0.1))(
        torch.from_numpy(store.one_hot("gene2"))
    )
    torch.testing.assert_close(e.relevance, fresh.relevance, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(e.prediction, fresh.prediction)
    assert (e.units, e.target) == ("logit", "0")
    assert e.settings["regions"]["strand"].tolist() == ["-"]


def test_a_minus_window_is_drawn_backwards_over_its_own_coordinates(store):
    figure = region_figure({"a": store}, 1, span=(205, 215))
    ax = figure.axes[0]
    assert ax.get_xlim() == (214.5, 204.5)
    assert "strand -" in ax.get_xlabel()
    # Read from the left, the page shows the window's own bases 25 to 34: the last ten of 205 to 214, reversed.
    shown = gp.one_hot_decode(store.one_hot("gene2"))[0][25:35]
    genome = (store.path.parent / "g.fa").read_text().split("\n")[1]
    assert shown == reverse_complement(genome[205:215])
    heights = store.relevance("gene2")[0, :, 25:35].sum(axis=0)
    letters = {c.get_label() for c in ax.collections if c.get_paths()} - {"_highlight"}
    assert letters == {base for base, height in zip(shown, heights, strict=True) if height}


@pytest.mark.parametrize(
    "options",
    [
        ["--name", "gene2"],
        ["--region", "chr1:125-135"],
        ["--index", "2"],
        ["--name", "gene1", "--region", "5-25"],
    ],
)
def test_logos_of_a_store(folder, tmp_path, options):
    out = tmp_path / "l.png"
    assert run("logo", folder / "gamma", folder / "epsilon", *options, "--out", out) == 0
    assert image.imread(out).std() > 0


def test_a_store_needs_no_data_set_and_a_file_does(folder, tmp_path, capsys):
    assert run("logo", folder / "gamma", "--dataset", folder, "--out", tmp_path / "l.png") == 2
    assert run("logo", folder / "g.fa", "--out", tmp_path / "l.png") == 2
    assert "--dataset" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_reports_of_a_store_with_and_without_its_model(folder, tmp_path):
    out, live = tmp_path / "r.html", tmp_path / "live.html"
    assert run("report", folder / "gamma", "--out", out) == 0
    page = out.read_text()
    assert '"p":[0.0]' in page
    assert "PLRP-lambda gamma p=0.1" in page
    assert "gene2  chr1:200-240 (-)" in page
    command = ["report", folder / "gamma", "--model", f"{folder}/net.py:build", "--out", live]
    assert run(*command, "--steps", 3, "--methods", "lambda", "--rules", "gamma") == 0
    assert '"p":[0.0,0.475,0.95]' in live.read_text()
    assert re.search(r'"task":"0"', live.read_text())


def test_a_scan_of_a_data_sets_own_fasta_is_scored(folder, tmp_path, capsys):
    data = gp.simulate(gp.load_spec("tal_gata"), n=12, seed=1)
    data.save(tmp_path / "data")
    scan_genome(
        f"{folder}/net.py:build", tmp_path / "data" / "sequences.fa", tmp_path / "s", length=data.length
    )
    assert run("score", tmp_path / "s", "--dataset", tmp_path / "data") == 0
    assert "12 sequences" in capsys.readouterr().out
    assert run("score", folder / "gamma", "--dataset", tmp_path / "data") == 2
    assert "no sequence 'gene1'" in capsys.readouterr().err


def test_an_unfinished_scan_says_how_it_is_finished(tmp_path):
    (tmp_path / "scan.partial").mkdir()
    with pytest.raises(InputError, match="unfinished scan: run the same command again"):
        gp.open_store(tmp_path / "scan.partial")

"""The whole road of a network of one's own: trained on human splice donors, saved in every way, down to the figures."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import image

import genoplrp as gp
from genoplrp.cli.main import main
from genoplrp.sequence import Genome

pytest.importorskip("zarr")

LENGTH = 80
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_model"
REAL = Path(__file__).parents[2] / "data" / "human_splice"
FASTA, DONORS = REAL / "chr22_20M_21M.fa.gz", REAL / "donors.bed"


def run(*args):
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in args])
    assert stopped.value.code == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A user's folder: the network's code, and the network in every way of saving it."""
    folder = tmp_path_factory.mktemp("project")
    package = folder / "package"
    package.mkdir()
    for source in EXAMPLE.glob("*.py"):
        code = source.read_text()
        (folder / source.name).write_text(code)
        (package / source.name).write_text(code.replace("from blocks", "from .blocks"))
    (package / "__init__.py").write_text("")
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.syspath_prepend(str(folder))
        model, accuracy = importlib.import_module("train").train(str(FASTA), str(DONORS), steps=40)
    assert accuracy > 0.95
    torch.save(model.state_dict(), folder / "weights.pt")
    lightning = {"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}, "epoch": 60}
    torch.save(lightning, folder / "last.ckpt")
    torch.save(model, folder / "whole.pt")
    torch.export.save(torch.export.export(model, (torch.zeros(2, 4, LENGTH),)), folder / "net.pt2")
    for name in ("train", "net", "blocks"):
        sys.modules.pop(name, None)
    return folder


GENOME = ["--fasta", FASTA, "--bed", DONORS, "--length", LENGTH, "--target", "1"]


@pytest.fixture(scope="module")
def scanned(project):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        run("explain", "net.py:SpliceNet", "--state-dict", "weights.pt", *GENOME, "--out", "scan")
    return project / "scan"


@pytest.mark.filterwarnings("ignore:unpickling")
@pytest.mark.parametrize(
    "named",
    [
        ["net.py:SpliceNet", "--state-dict", "last.ckpt"],
        ["package.net:SpliceNet", "--state-dict", "weights.pt"],
        ["whole.pt", "--trust-pickle"],
        ["net.pt2"],
    ],
    ids=lambda named: named[0],
)
def test_every_way_of_saving_gives_the_same_scan(project, scanned, monkeypatch, tmp_path, named):
    monkeypatch.chdir(project)
    run("explain", *named, *GENOME, "--out", tmp_path / "scan")
    one, other = gp.open_store(tmp_path / "scan"), gp.open_store(scanned)
    np.testing.assert_allclose(one.per_nucleotide(), other.per_nucleotide(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(one.output, other.output, rtol=1e-4, atol=1e-6)
    assert one.units == "logit"


def test_the_intron_gt_carries_the_prediction(scanned):
    store = gp.open_store(scanned)
    assert np.median(store.output) > 0.9
    forward = np.flatnonzero(store.regions["strand"] == "+")
    mean = store.per_nucleotide(forward).mean(axis=0)
    centre = LENGTH // 2  # the exon's last base
    assert set(np.argsort(mean)[-2:]) <= {centre, centre + 1, centre + 2}


def test_from_the_store_to_figures_tracks_motifs_and_variants(
    project, scanned, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(project)
    model = ["--model", "net.py:SpliceNet", "--state-dict", "weights.pt"]
    store = gp.open_store(scanned)
    place = store.regions.iloc[3]
    run(
        "logo",
        scanned,
        "--region",
        f"{place['chrom']}:{place['start'] + 30}-{place['start'] + 50}",
        "--out",
        tmp_path / "l.png",
    )
    assert image.imread(tmp_path / "l.png").std() > 0
    run(
        "report",
        scanned,
        *model,
        "--limit",
        5,
        "--steps",
        3,
        "--rules",
        "gamma",
        "--methods",
        "lambda",
        "--out",
        tmp_path / "r.html",
    )
    assert (tmp_path / "r.html").stat().st_size > 10_000
    pytest.importorskip("pyBigWig")
    run("export", scanned, "--to", "bigwig", "--out", tmp_path / "r.bw")
    import pyBigWig

    with pyBigWig.open(str(tmp_path / "r.bw")) as track:
        assert set(track.chroms()) == {"chr22_20M_21M"}
    rows = pd.read_csv(DONORS, sep="\t", header=None)
    plus = rows[rows[5] == "+"].head(5)
    genome = Genome(FASTA)
    lines = []
    for chrom, at in zip(plus[0], plus[1], strict=True):
        there = genome.codes(chrom, at + 1, at + 2)  # the G of the intron's GT
        ref = "ACGT"[int(there[0])]
        lines.append(f"{chrom}\t{at + 2}\tv{at}\t{ref}\t{'A' if ref != 'A' else 'C'}\n")
    (tmp_path / "v.vcf").write_text("".join(lines))
    run(
        "explain",
        "net.py:SpliceNet",
        "--state-dict",
        "weights.pt",
        *GENOME,
        "--vcf",
        tmp_path / "v.vcf",
        "--out",
        tmp_path / "v",
    )
    effects = pd.read_csv(tmp_path / "v" / "effects.tsv", sep="\t")
    assert (effects["effect_logit"] < 0).mean() > 0.7
    assert effects["effect_probability"].between(-1, 1).all()
    capsys.readouterr()


def test_motifs_of_an_own_model(project, scanned, monkeypatch, tmp_path):
    pytest.importorskip("modiscolite")
    monkeypatch.chdir(project)
    out = tmp_path / "motifs"
    model = ["--model", "net.py:SpliceNet", "--state-dict", "weights.pt"]
    run("motifs", scanned, *model, "--no-match", "--no-filters", "--sign", "positive", "--out", out)
    assert (out / "index.html").is_file()

"""Sites and motifs as files for other programs, read back by those programs."""

import numpy as np
import pandas as pd
import pytest

from genoplrp.cli.main import main
from genoplrp.errors import InputError
from genoplrp.sites import CalledSites, called_sites, copy_of_run, located_once, write_sites_bed

pytest.importorskip("zarr")
pyfaidx_cli = pytest.importorskip("pyfaidx.cli")

WORD, LENGTH, CELL, CELLS = "AGATAAGG", 120, 150, 120
CODE = f"""
import torch
from torch import nn

def build():
    model = nn.Sequential(nn.Conv1d(4, 1, 8), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(1, 1))
    with torch.no_grad():
        model[0].weight.fill_(-1.0)
        for k, letter in enumerate("{WORD}"):
            model[0].weight[0, "ACGT".index(letter), k] = 1.0
        model[0].bias.fill_(-3.0)
        model[4].weight.fill_(100.0)
        model[4].bias.fill_(0.0)
    return model
"""


def reverse_complement(word):
    return word.translate(str.maketrans("ACGT", "TGCA"))[::-1]


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    """A genome of cells of 150 bp, each with a word that the network knows; in every second one on the other strand."""
    folder = tmp_path_factory.mktemp("genome")
    rng = np.random.default_rng(0)
    letters = np.array(list("ACGT"))[rng.integers(4, size=CELL * CELLS)]
    rows, places = [], []
    for i in range(CELLS):
        at = CELL * i + int(rng.integers(35, 105))
        word = WORD if i % 2 == 0 else reverse_complement(WORD)
        letters[at : at + len(WORD)] = list(word)
        places.append(at)
        rows.append(f"chr7\t{CELL * i + 15}\t{CELL * i + 135}\tcell{i}\t0\t{'+-'[i % 2]}\n")
    (folder / "g.fa").write_text(">chr7\n" + "".join(letters) + "\n")
    (folder / "r.bed").write_text("".join(rows))
    (folder / "tiles.bed").write_text(f"chr7\t0\t{CELL * CELLS}\n")
    (folder / "mine.py").write_text(CODE)
    return folder, np.array(places)


def run(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


@pytest.fixture(scope="module")
def store(genome):
    folder, _ = genome
    explain = ["explain", f"{folder / 'mine.py'}:build", "--fasta", folder / "g.fa", "--length", LENGTH]
    explain += ["--rules", "epsilon", "--p", 0.05]
    assert run(*explain, "--bed", folder / "r.bed", "--out", folder / "s") == 0
    assert run(*explain, "--bed", folder / "tiles.bed", "--tile", 60, "--out", folder / "tiles") == 0
    return folder / "s"


def model_of(genome):
    return ["--model", f"{genome[0] / 'mine.py'}:build"]


def test_sites_lie_on_the_planted_words_as_faidx_reads_them(genome, store, tmp_path, capsys):
    folder, places = genome
    bed = tmp_path / "sites.bed"
    assert run("export", store, "--to", "bed", *model_of(genome), "--out", bed) == 0
    said = capsys.readouterr().out
    assert f"of {CELLS} sequences" in said
    pyfaidx_cli.main(["--bed", str(bed), str(folder / "g.fa")])
    lines = capsys.readouterr().out.split(">")[1:]
    table = pd.read_csv(
        bed, sep="\t", header=None, names=["chrom", "start", "end", "name", "score", "strand"]
    )
    assert len(lines) == len(table) >= 0.9 * CELLS
    right = 0
    for record, row in zip(lines, table.itertuples(), strict=True):
        title, _, letters = record.partition("\n")
        letters = letters.replace("\n", "")
        assert title == f"chr7:{row.start + 1}-{row.end}"
        cell = row.start // CELL
        assert row.strand == "+-"[cell % 2]
        assert row.name.startswith(f"cell{cell}:")
        word = WORD if cell % 2 == 0 else reverse_complement(WORD)
        right += letters in word or word in letters
        assert min(abs(row.start - places[cell]), abs(row.end - places[cell] - len(WORD))) < CELL
    assert right / len(table) >= 0.9
    assert table["score"].between(0, 1000).all()
    assert table["start"].is_monotonic_increasing


def test_a_site_in_two_windows_is_written_once(genome, store, tmp_path):
    folder, places = genome
    bed = tmp_path / "sites.bed"
    assert run("export", folder / "tiles", "--to", "bed", *model_of(genome), "--out", bed) == 0
    table = pd.read_csv(bed, sep="\t", header=None)
    # Only words on the strand that the windows read are seen.
    seen = [((table[1] < at + len(WORD)) & (table[2] > at)).sum() for at in places[::2]]
    assert max(seen) == 1
    assert np.mean(seen) >= 0.9


def called(rows, starts, strand="+"):
    sites = pd.DataFrame(rows, columns=["sequence", "start", "end", "sign", "score"])
    regions = pd.DataFrame({"chrom": "c", "start": starts, "end": np.array(starts) + 50})
    regions = regions.assign(name=[f"w{i}" for i in range(len(starts))], strand=strand)
    empty = np.zeros((len(starts), 4, 50), np.float32)
    return CalledSites(empty, empty, sites, regions)


def test_of_sites_that_overlap_between_windows_the_strongest_of_each_sign_stays():
    rows = [
        (0, 30, 38, "+", 2.0),  # 30 to 38 of c
        (1, 11, 18, "+", 5.0),  # 31 to 38: the same, stronger
        (1, 10, 18, "-", -1.0),  # the other sign
        (0, 0, 8, "+", 1.0),
        (0, 4, 12, "+", 1.5),  # overlaps in its own window: stays
        (2, 0, 4, "+", 9.0),  # 37 to 41: shares one of four
    ]
    there = called(rows, [0, 20, 37])
    table = located_once(there.sites, there.regions)
    found = set(zip(table["start"], table["end"], table["sign"], strict=True))
    assert found == {(31, 38, "+"), (30, 38, "-"), (0, 8, "+"), (4, 12, "+"), (37, 41, "+")}


def test_negative_sites_are_named_so(tmp_path):
    path = tmp_path / "s.bed"
    write_sites_bed(called([(0, 5, 9, "-", -2.0), (0, 20, 26, "+", 1.0)], [100], "-"), path)
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    assert lines == [
        ["c", "124", "130", "w0:20-26", "500", "-"],
        ["c", "141", "145", "w0:5-9:negative", "1000", "-"],
    ]


def test_what_is_missing_is_said_before_anything_is_computed(genome, store, tmp_path, capsys):
    assert run("export", store, "--to", "bed", "--out", tmp_path / "s.bed") == 2
    assert "name it (--model)" in capsys.readouterr().err
    (tmp_path / "there.bed").write_text("mine\n")
    assert run("export", store, "--to", "bed", *model_of(genome), "--out", tmp_path / "there.bed") == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "there.bed").read_text() == "mine\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.bed"]


def test_fewer_sequences_than_there_are_are_said(genome, store, tmp_path, capsys):
    arguments = ["--to", "bed", *model_of(genome), "--limit", 60, "--out", tmp_path / "s.bed"]
    assert run("export", store, *arguments) == 0
    assert f"the first 60 of {CELLS} sequences" in capsys.readouterr().out


def test_too_few_sites_for_motifs_leave_no_file(genome, store, tmp_path, capsys):
    pytest.importorskip("modiscolite")
    arguments = ["--to", "meme", *model_of(genome), "--limit", 40, "--out", tmp_path / "m.meme"]
    assert run("export", store, *arguments) == 2
    assert "no motif was found" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_caller_is_an_error(genome, store):
    from genoplrp.scan import ScanStore

    with pytest.raises(InputError, match="caller='best'"):
        called_sites(ScanStore(store), None, caller="best")


def test_a_folder_of_motifs_gives_bed_and_meme_only(tmp_path):
    with pytest.raises(InputError, match="it gives bed and meme; for bigwig"):
        copy_of_run(tmp_path, "bigwig", tmp_path / "t.bw")

import gzip
import json
import random

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from genoplrp.cli.main import main
from genoplrp.errors import CheckpointError, InputError
from genoplrp.relevance import Explainer, Pruning, adapt_model
from genoplrp.sequence import one_hot_encode, reverse_complement

pytest.importorskip("zarr")
from genoplrp.scan import (
    ScanStore,
    describe_output,
    load_any_model,
    open_explained,
    relevance_difference,
    scan_genome,
    variant_effects,
)

LENGTH = 40
CODE = """
import torch
from torch import nn

def build():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv1d(4, 6, 5), nn.ReLU(), nn.MaxPool1d(4), nn.Conv1d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(42, 2)
    )

def number():
    return 3
"""


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def genome(tmp_path):
    letters = "".join(random.Random(3).choices("ACGT", k=3000))
    (tmp_path / "g.fa").write_text(f">chr1\n{letters}\n")
    return tmp_path / "g.fa", letters


# -- models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".pt2"])
def test_weights_come_from_a_state_dict(tmp_path, code, suffix):
    with torch.random.fork_rng():
        trained = load_any_model(f"{code}:build").model
    with torch.no_grad():
        trained[0].weight += 1
    weights = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(trained.state_dict(), weights)
    elif suffix == ".pt2":
        torch.export.save(torch.export.export(trained, (torch.zeros(2, 4, LENGTH),)), weights)
    else:
        torch.save({"state_dict": trained.state_dict()}, weights)
    loaded = load_any_model(f"{code}:build", state_dict=weights)
    torch.testing.assert_close(loaded.model.state_dict(), trained.state_dict())
    assert loaded.fingerprint != load_any_model(f"{code}:build").fingerprint


class Touch(nn.Module):
    """A module whose pickle leaves a file behind when it is read."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def __setstate__(self, state):
        super().__setstate__(state)
        state["path"].touch()


def test_a_pickle_runs_only_when_it_is_trusted(tmp_path):
    trace = tmp_path / "it_ran"
    torch.save(Touch(trace), tmp_path / "m.pt")
    with pytest.raises(InputError, match="--trust-pickle"):
        load_any_model(tmp_path / "m.pt")
    assert not trace.exists()
    with pytest.warns(UserWarning, match="code inside it runs"):
        load_any_model(tmp_path / "m.pt", trust_pickle=True)
    assert trace.exists()


def test_a_pickle_as_state_dict_does_not_run(tmp_path, code):
    trace = tmp_path / "it_ran"
    torch.save(Touch(trace), tmp_path / "m.pt")
    with pytest.raises(CheckpointError):
        load_any_model(f"{code}:build", state_dict=tmp_path / "m.pt")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "there is no model 'nowhere'"),
        ("no_such_module_at_all:f", "cannot be imported"),
        ("{code}:nothing", "has no 'nothing'; it has build, number"),
        ("{code}:number", "gives a int"),
        ("{code}x.py:f", "there is no file"),
    ],
)
def test_what_is_no_model_is_said(code, source, message):
    with pytest.raises(InputError, match=message):
        load_any_model(source.replace("{code}", str(code)))


def test_weights_of_another_network_are_refused(tmp_path, code):
    torch.save({"0.weight": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"missing 0\.bias"):
        load_any_model(f"{code}:build", state_dict=tmp_path / "w.pt")


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv1d(4, 3, 5)

    def forward(self, x):
        y = self.body(x)
        return y, {"count": y.sum(dim=(1, 2))}


def test_outputs_are_described_in_words():
    assert (
        describe_output(TwoHeads(), 10)
        == "2 outputs: a tensor of shape (N, 3, 6), a dictionary: count: a tensor of shape (N)"
    )


def test_a_model_of_another_length_is_an_error_that_says_so(code):
    with pytest.raises(InputError, match="does not take one-hot sequences of 10 bp"):
        describe_output(load_any_model(f"{code}:build").model, 10)


def test_a_wrong_layout_is_an_error_that_names_it():
    model = torch.nn.Sequential(torch.nn.Conv1d(4, 2, 3), torch.nn.Flatten(), torch.nn.Linear(16, 1))
    assert describe_output(model, 10) == "a tensor of shape (N, 1)"
    with pytest.raises(InputError, match=r"of 10 bp as \(N, L, 4\) \(layout NLC\): "):
        describe_output(adapt_model(model, "NLC"), 10)


# -- genomes --------------------------------------------------------------------------------------------------------


def test_regions_of_a_genome_are_explained_as_their_letters_are(tmp_path, code, genome):
    fasta, letters = genome
    (tmp_path / "r.bed").write_text("1\t100\t200\ta\t0\t+\n1\t700\t740\tb\t0\t-\n2\t5\t9\tc\n")
    said = []
    out = scan_genome(
        f"{code}:build",
        fasta,
        tmp_path / "s",
        bed=tmp_path / "r.bed",
        length=LENGTH,
        target=1,
        pruning=Pruning(0.1),
        log=said.append,
    )
    store = open_explained(out)
    X = one_hot_encode([letters[130:170], reverse_complement(letters[700:740])])
    expected = Explainer(load_any_model(f"{code}:build").model, pruning=Pruning(0.1))(torch.from_numpy(X), 1)
    np.testing.assert_allclose(
        store.per_nucleotide(slice(None)), expected.per_nucleotide.numpy(), rtol=1e-5, atol=1e-7
    )
    assert store.dropped["reason"].tolist() == ["chromosome is not in the genome"]
    text = "\n".join(said)
    assert "a tensor of shape (N, 2)" in text
    assert "1 dropped" in text
    assert "1 -> chr1" in text


def test_without_regions_every_record_is_a_sequence(tmp_path, code, genome):
    _, letters = genome
    pieces = {"late": letters[80:120], "early": letters[:40]}
    (tmp_path / "few.fa").write_text("".join(f">{name}\n{piece}\n" for name, piece in pieces.items()))
    out = scan_genome(
        f"{code}:build", tmp_path / "few.fa", tmp_path / "s", length=LENGTH, pruning=Pruning(0.1)
    )
    store = open_explained(out)
    assert store.regions["name"].tolist() == list(pieces)
    X = torch.from_numpy(one_hot_encode(list(pieces.values())))
    expected = Explainer(load_any_model(f"{code}:build").model, pruning=Pruning(0.1))(X)
    np.testing.assert_allclose(
        store.per_nucleotide(slice(None)), expected.per_nucleotide.numpy(), rtol=1e-5, atol=1e-7
    )


def test_without_regions_whole_records_are_covered_by_tiles(tmp_path, code, genome):
    out = scan_genome(f"{code}:build", genome[0], tmp_path / "s", length=LENGTH, tile=LENGTH)
    regions = open_explained(out).regions
    assert regions["start"].tolist() == list(range(0, 3000, LENGTH))


def edited(letters, position, ref, alt):
    return letters[:position] + alt + letters[position + len(ref) :]


@pytest.mark.parametrize(("size", "alt"), [(1, "T"), (1, "GATTACA"), (5, "C"), (3, "TTT")])
def test_variant_effects_equal_explaining_both_alleles_by_hand(tmp_path, code, genome, size, alt):
    fasta, letters = genome
    position = 1500
    ref = letters[position : position + size]
    if ref == alt:
        alt = "G"
    (tmp_path / "v.vcf").write_text(f"chr1\t{position + 1}\trs1\t{ref}\t{alt}\n")
    out = scan_genome(
        f"{code}:build", fasta, tmp_path / "s", vcf=tmp_path / "v.vcf", length=LENGTH, rules="epsilon"
    )
    start = position - LENGTH // 2
    both = [letters[start : start + LENGTH], edited(letters, position, ref, alt)[start : start + LENGTH]]
    e = Explainer(load_any_model(f"{code}:build").model, "epsilon")(torch.from_numpy(one_hot_encode(both)))
    row = pd.read_csv(out / "effects.tsv", sep="\t").iloc[0]
    assert row["effect"] == pytest.approx(float(e.prediction[1] - e.prediction[0]), abs=1e-5)
    reference, alternative = e.per_nucleotide.double().numpy()
    expected = -reference
    for i in range(LENGTH):  # base of the alternative window -> base of the reference window
        behind = i - LENGTH // 2
        if behind < len(alt):
            at = i if behind < min(len(ref), len(alt)) else LENGTH // 2 + min(len(ref), len(alt)) - 1
        else:
            at = i + len(ref) - len(alt)
        if at < LENGTH:
            expected[at] += alternative[i]
    found = relevance_difference(ScanStore(out))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert row["relevance_gained"] + row["relevance_lost"] == pytest.approx(expected.sum(), abs=1e-4)
    assert len(variant_effects(ScanStore(out))) == 1


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize(("size", "alt"), [(1, "T"), (1, "GATTACA"), (6, "C")])
def test_variants_in_regions_are_explained_in_the_regions_windows(tmp_path, code, genome, size, alt, strand):
    fasta, letters = genome
    position = 1493
    ref = letters[position : position + size]
    alt = alt if ref != alt else "G"
    far = f"chr1\t200\tfar\t{letters[199]}\t{'A' if letters[199] != 'A' else 'C'}\n"
    (tmp_path / "v.vcf").write_text(f"chr1\t{position + 1}\tv\t{ref}\t{alt}\n{far}")
    starts = (1470, 1480, 1100)
    lines = [f"1\t{start}\t{start + LENGTH}\tpeak{start}\t0\t{strand}\n" for start in starts]
    (tmp_path / "r.bed").write_text("".join(lines))
    out = scan_genome(
        f"{code}:build", fasta, tmp_path / "s", bed=tmp_path / "r.bed", vcf=tmp_path / "v.vcf", length=LENGTH
    )
    store, effects = ScanStore(out), pd.read_csv(out / "effects.tsv", sep="\t")
    assert effects["peak"].tolist() == ["peak1470", "peak1480"]
    assert store.dropped["reason"].tolist() == ["no region's window holds it"]
    explain = Explainer(load_any_model(f"{code}:build").model)
    changed = edited(letters, position, ref, alt)
    for k, start in enumerate(starts[:2]):
        both = [letters[start : start + LENGTH], changed[start : start + LENGTH]]
        read = [reverse_complement(s) for s in both] if strand == "-" else both
        e = explain(torch.from_numpy(one_hot_encode(read)))
        np.testing.assert_array_equal(store.one_hot(slice(2 * k, 2 * k + 2)), one_hot_encode(read))
        assert effects["effect"][k] == pytest.approx(float(e.prediction[1] - e.prediction[0]), abs=1e-5)
        maps = e.per_nucleotide.double().numpy()[:, :: -1 if strand == "-" else 1]
        # Left of the variant the windows hold the same bases; right of it they are apart by the alleles' lengths.
        at, difference = position - start, relevance_difference(store)[k]
        np.testing.assert_allclose(difference[:at], (maps[1] - maps[0])[:at], rtol=1e-3, atol=1e-5)
        right = at + max(len(ref), len(alt))
        moved = len(alt) - len(ref)
        for i in range(right, LENGTH - max(0, moved)):
            assert difference[i] == pytest.approx(maps[1][i + moved] - maps[0][i], rel=1e-3, abs=1e-5)


# -- the command line -----------------------------------------------------------------------------------------------


def run(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


def test_from_a_genome_to_tracks_and_arrays_on_the_command_line(tmp_path, code, genome, capsys):
    fasta, _ = genome
    (tmp_path / "r.bed").write_text("chr1\t100\t1900\n")
    explain = ["explain", f"{code}:build", "--fasta", fasta, "--bed", tmp_path / "r.bed", "--length", LENGTH]
    explain += ["--tile", 20, "--p", 0.1, "--out", tmp_path / "s"]
    for i in (1, 2):
        assert run(*explain, "--shard", f"{i}/2") == 0
    shards = sorted(tmp_path.glob("s.shard-*"))
    assert run("merge", *shards, "--out", tmp_path / "s") == 0
    assert run("export", tmp_path / "s", "--to", "bedgraph", "--out", tmp_path / "t.bedgraph") == 0
    assert run("export", tmp_path / "s", "--to", "modisco", "--out", tmp_path / "m") == 0
    assert "89 windows" in capsys.readouterr().out
    store, total, count = ScanStore(tmp_path / "s"), np.zeros(3000), np.zeros(3000)
    for start, values in zip(store.regions["start"], store.per_nucleotide(slice(None)), strict=True):
        total[start : start + LENGTH] += values
        count[start : start + LENGTH] += 1
    found = np.zeros(3000)
    for line in (tmp_path / "t.bedgraph").read_text().splitlines():
        _, start, end, value = line.split("\t")
        found[int(start) : int(end)] = float(value)
    np.testing.assert_allclose(found, total / np.maximum(count, 1), rtol=1e-5, atol=1e-7)
    assert np.load(tmp_path / "m" / "ohe.npz")["arr_0"].shape == (89, 4, LENGTH)
    assert json.loads((tmp_path / "m" / "manifest.json").read_text())["explained"]["windows"] == 89


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bed", "{tmp}/r.bed", "--vcf", "{tmp}/r.bed"], "is not a VCF line"),
        (["--vcf", "{tmp}/r.bed", "--tile", "5"], "--tile, --edge and --feature are for regions"),
        (["--vcf", "{tmp}/r.bed", "--edge", "pad"], "--tile, --edge and --feature are for regions"),
        ([], "the record 'chr1' of {tmp}/g.fa has 3,000 bp, the model reads 40"),
        (["--bed", "{tmp}/none.bed"], "There is no file"),
        (["--bed", "{tmp}/r.bed", "--shard", "3/2"], "--shard 3/2"),
        (["--bed", "{tmp}/beyond.bed"], "region ends beyond the chromosome"),
        (["--bed", "{tmp}/empty.bed"], "empty.bed is empty"),
        (["--bed", "{tmp}/header.bed"], "if it is a header, begin it with #"),
        (["--fasta", "{tmp}/protein.fa", "--tile", "20"], "is not a nucleotide"),
        (["--fasta", "{tmp}/cut.fa.gz", "--bed", "{tmp}/r.bed"], "damaged or cut off"),
        (["--bed", "{tmp}/r.bed", "--target", "7"], "out of range"),
    ],
)
def test_bad_input_gives_exit_code_2_and_one_message(tmp_path, code, genome, capsys, arguments, message):
    (tmp_path / "r.bed").write_text("chr1\t100\t200\n")
    (tmp_path / "beyond.bed").write_text("chr1\t100\t200000\n")
    (tmp_path / "empty.bed").write_text("")
    (tmp_path / "header.bed").write_text("chrom\tstart\tend\nchr1\t100\t200\n")
    (tmp_path / "protein.fa").write_text(">p\n" + "MKLVEFPQRSTWY" * 20 + "\n")
    packed = gzip.compress(genome[0].read_bytes())
    (tmp_path / "cut.fa.gz").write_bytes(packed[: len(packed) // 2])
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    base = ["explain", f"{code}:build", "--fasta", genome[0], "--length", LENGTH, "--out", tmp_path / "s"]
    assert run(*base, *arguments) == 2
    assert message.replace("{tmp}", str(tmp_path)) in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("force", "message"),
    [(False, "choose another name or pass --force"), (True, "was not made by this command")],
)
def test_a_folder_that_is_there_is_refused_before_a_genome_is_read(tmp_path, code, capsys, force, message):
    (tmp_path / "cut.fa").write_text(">p\nMKLVEF\n")  # reading it would be another error
    (tmp_path / "notes").mkdir()
    base = ["explain", f"{code}:build", "--fasta", tmp_path / "cut.fa", "--tile", 20, "--length", LENGTH]
    assert run(*base, "--out", tmp_path / "notes", *["--force"] * force) == 2
    assert message in capsys.readouterr().err


def test_a_model_that_returns_nan_is_exit_code_1_and_what_was_finished_is_kept(tmp_path, code, capsys):
    code.write_text(
        CODE
        + """
class Diverging(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = build()

    def forward(self, x):
        return self.body(x) / (x[:, :1, 0] - 1)
"""
    )
    # Of the windows only number 1500 begins with A.
    rest = random.Random(4)
    starts = ["A" if i == 1500 else "C" for i in range(2000)]
    letters = "".join(first + "".join(rest.choices("ACGT", k=LENGTH - 1)) for first in starts)
    (tmp_path / "g.fa").write_text(f">chr1\n{letters}\n")
    explain = [
        "explain",
        f"{code}:Diverging",
        "--fasta",
        tmp_path / "g.fa",
        "--tile",
        LENGTH,
        "--length",
        LENGTH,
    ]
    explain += ["--rules", "epsilon", "--out", tmp_path / "s", "--batch-size", 100]
    assert run(*explain) == 1
    said = capsys.readouterr().err
    assert "windows 1500 to 1599" in said
    assert "What was explained before them is kept" in said
    assert "Traceback" not in said
    assert (tmp_path / "s.partial" / ".journal").read_text().split() == ["0"]
    assert not (tmp_path / "s").exists()


def test_neither_data_set_nor_genome_is_said(tmp_path, code, capsys):
    assert run("explain", f"{code}:build", "--out", tmp_path / "s") == 2
    assert "--dataset, or --fasta" in capsys.readouterr().err

import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.formats import (
    ExplainedArrays,
    write_bed,
    write_bedgraph,
    write_bigwig,
    write_chrombpnet,
    write_finemo,
    write_modisco,
)
from genoplrp.formats import explained as explained_module


def explained(n=7, length=30, seed=0, hypothetical=True, regions=None, sizes=None, sparse=0.5):
    rng = np.random.default_rng(seed)
    X = np.eye(4, dtype=np.float32)[rng.integers(4, size=(n, length))].transpose(0, 2, 1)
    multiplier = rng.normal(size=X.shape).astype(np.float32)
    multiplier[rng.random(X.shape) < sparse] = 0
    return ExplainedArrays(
        X, multiplier * X, multiplier if hypothetical else None, regions=regions, chrom_sizes=sizes
    )


def windows(starts, length, strands=None, chrom="chr1"):
    starts = np.asarray(starts)
    return pd.DataFrame(
        {"chrom": chrom, "start": starts, "end": starts + length, "strand": strands or ["+"] * len(starts)}
    )


@pytest.mark.parametrize("scores", ["projected", "hypothetical"])
def test_modisco_arrays_hold_what_was_explained_and_say_which_scores(tmp_path, scores):
    e = explained()
    folder = write_modisco(e, tmp_path / "m", scores=scores)
    ohe, attr = np.load(folder / "ohe.npz")["arr_0"], np.load(folder / "attr.npz")["arr_0"]
    assert ohe.dtype == attr.dtype == np.float32
    np.testing.assert_array_equal(ohe, e.X)
    np.testing.assert_array_equal(attr, e.relevance if scores == "projected" else e.hypothetical)
    np.testing.assert_array_equal(ohe * attr, e.relevance)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["scores"] == scores
    assert "-w 30 " in manifest["command"]
    assert len((folder / "regions.narrowPeak").read_text().splitlines()) == len(e)


def planted(n=120, length=200, seed=1):
    """One strong motif in every sequence, and relevance on it alone."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(4, size=(n, length))
    motif = np.array([2, 0, 3, 0, 0, 1, 2])
    weights = np.zeros((n, length), np.float32)
    for i, at in enumerate(rng.integers(60, length - 70, size=n)):
        codes[i, at : at + 7] = motif
        weights[i, at : at + 7] = rng.normal(1, 0.05, size=7)
    X = np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1)
    noise = rng.normal(0, 0.02, size=weights.shape).astype(np.float32)
    return ExplainedArrays(X, X * (weights + noise)[:, None])


def test_the_modisco_command_of_the_manifest_finds_the_planted_motif(tmp_path):
    pytest.importorskip("modiscolite")
    h5py = pytest.importorskip("h5py")
    folder = write_modisco(planted(), tmp_path / "m")
    command = json.loads((folder / "manifest.json").read_text())["command"].split()
    command[:1] = [sys.executable, "-c", "from modiscolite.cli import cli; cli()"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with h5py.File(folder / "modisco.h5") as found:
        pwm = found["pos_patterns/pattern_0/sequence"][:]
    letters = "".join("ACGT"[i] for i in pwm.argmax(axis=1))
    assert "GATAACG" in letters or "CGTTATC" in letters


def test_chrombpnet_file_is_read_by_finemo(tmp_path):
    data_io = pytest.importorskip("finemo.data_io")
    e = explained()
    path = write_chrombpnet(e, tmp_path / "c.h5", scores="hypothetical")
    sequences, contributions = data_io.load_regions_from_chrombpnet_h5([str(path)], 15)
    np.testing.assert_array_equal(sequences, e.X)
    np.testing.assert_allclose(contributions, e.hypothetical, atol=2e-3)
    assert len((tmp_path / "c.interpreted_regions.bed").read_text().splitlines()) == len(e)


def test_chrombpnet_projected_scores_are_labelled_so(tmp_path):
    h5py = pytest.importorskip("h5py")
    e = explained(hypothetical=False)
    with h5py.File(write_chrombpnet(e, tmp_path / "c.h5")) as file:
        assert file.attrs["scores"] == "projected"
        assert file["raw/seq"].dtype == np.int8
        assert file["shap/seq"].dtype == np.float16
        np.testing.assert_array_equal(file["shap/seq"][:], e.relevance.astype(np.float16))
        np.testing.assert_array_equal(file["projected_shap/seq"][:], file["shap/seq"][:])


@pytest.mark.parametrize("scores", ["projected", "hypothetical"])
def test_finemo_reads_our_regions(tmp_path, scores):
    data_io = pytest.importorskip("finemo.data_io")
    regions = windows([0, 50, 5], 30).assign(chrom=["chr1", "chr2", "chr1"])
    e = explained(n=3, regions=regions, sizes={"chr1": 100, "chr2": 90})
    path = write_finemo(e, tmp_path / "f.npz", scores=scores)
    sequences, contributions, peaks, has_peaks = data_io.load_regions_npz(str(path))
    assert has_peaks
    assert peaks["chr"].to_list() == ["chr1", "chr2", "chr1"]
    assert peaks["chr_id"].to_list() == [0, 1, 0]
    assert peaks["peak_region_start"].to_list() == [0, 50, 5]
    np.testing.assert_array_equal(sequences, e.X)
    expected = e.relevance.sum(axis=1) if scores == "projected" else e.hypothetical
    np.testing.assert_allclose(contributions, expected, atol=2e-3)


def brute_force(e, rule):
    """Value of every base of every chromosome, by loops over windows and positions."""
    tracks = {chrom: [[] for _ in range(size)] for chrom, size in e.chrom_sizes.items()}
    for i, row in e.regions.iterrows():
        values = e.relevance[i].sum(axis=0)
        values = values[::-1] if row["strand"] == "-" else values
        for offset, value in enumerate(values):
            at = row["start"] + offset
            if 0 <= at < e.chrom_sizes[row["chrom"]]:
                tracks[row["chrom"]][at].append(float(value))
    choose = {
        "mean": np.mean,
        "max": lambda v: max(v, key=abs),
        "first": lambda v: v[0],
    }[rule]
    return {chrom: np.array([choose(v) if v else 0.0 for v in track]) for chrom, track in tracks.items()}


def overlapping(sparse=0.5):
    rng = np.random.default_rng(3)
    starts = rng.integers(-10, 90, size=25)
    regions = windows(starts, 30, [("+", "-")[i] for i in rng.integers(2, size=25)])
    regions["chrom"] = np.where(rng.random(25) < 0.7, "chr2", "chr10")
    return explained(n=25, regions=regions, sizes={"chr2": 105, "chr10": 100, "chrM": 16}, sparse=sparse)


@pytest.mark.parametrize("rule", ["mean", "max", "first"])
@pytest.mark.parametrize("block", [1, 4, 1024])
def test_bedgraph_equals_loops_over_windows_and_positions(tmp_path, rule, block, monkeypatch):
    monkeypatch.setattr("genoplrp.formats.tracks.BLOCK", block)
    e = overlapping()
    path = write_bedgraph(e, tmp_path / "t.bedgraph", overlap=rule)
    expected = brute_force(e, rule)
    found = {chrom: np.zeros(size) for chrom, size in e.chrom_sizes.items()}
    last = {}
    for line in path.read_text().splitlines():
        chrom, start, end, value = line.split("\t")
        assert float(value) != 0
        assert last.get(chrom, 0) <= int(start) < int(end)
        last[chrom] = int(end)
        found[chrom][int(start) : int(end)] = float(value)
    for chrom in expected:
        np.testing.assert_allclose(found[chrom], expected[chrom], rtol=1e-5, atol=1e-7)


def test_bigwig_read_back_by_pybigwig_equals_loops(tmp_path):
    bw = pytest.importorskip("pyBigWig")
    e = overlapping(sparse=0.9)
    with bw.open(str(write_bigwig(e, tmp_path / "t.bw"))) as track:
        assert track.chroms() == e.chrom_sizes
        expected = brute_force(e, "mean")
        for chrom, size in e.chrom_sizes.items():
            found = np.nan_to_num(np.array(track.values(chrom, 0, size)))
            np.testing.assert_allclose(found, expected[chrom], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("write", [write_bedgraph, write_bigwig])
def test_both_alleles_of_a_variant_are_not_mixed_into_a_track(tmp_path, write):
    regions = windows([10, 10], 30).assign(allele=["ref", "alt"])
    with pytest.raises(InputError, match="both alleles of variants"):
        write(explained(n=2, regions=regions, sizes={"chr1": 100}), tmp_path / "track")
    assert not list(tmp_path.iterdir())


def test_bigwig_signal_is_extracted_by_tangermeme(tmp_path):
    io = pytest.importorskip("tangermeme.io")
    pytest.importorskip("pyBigWig")
    e = explained(n=2, regions=windows([10, 60], 30), sizes={"chr1": 100})
    path = write_bigwig(e, tmp_path / "t.bw")
    fasta = tmp_path / "g.fa"
    fasta.write_text(">chr1\n" + "ACGT" * 25 + "\n")
    bed = tmp_path / "r.bed"
    bed.write_text("chr1\t10\t40\nchr1\t60\t90\n")
    try:
        found = io.extract_loci(str(bed), str(fasta), signals=[str(path)], in_window=30, out_window=30)
    except (ImportError, ModuleNotFoundError) as error:
        pytest.skip(f"tangermeme reads bigWig with a package that is missing: {error}")
    np.testing.assert_allclose(np.asarray(found[1])[:, 0], e.relevance.sum(axis=1), rtol=1e-5, atol=1e-7)


def test_a_map_without_relevance_is_an_error_and_leaves_no_file(tmp_path):
    e = explained(sparse=1.1)
    with pytest.raises(InputError, match="all relevance is 0"):
        write_bedgraph(e, tmp_path / "t.bedgraph")
    assert list(tmp_path.iterdir()) == []


def test_scores_that_do_not_fit_half_precision_are_refused(tmp_path):
    e = explained()
    big = ExplainedArrays(e.X, e.relevance * 1e6)
    with pytest.raises(InputError, match="float16"):
        write_finemo(big, tmp_path / "f.npz")
    assert list(tmp_path.iterdir()) == []


def test_hypothetical_scores_that_were_not_kept_are_an_error(tmp_path):
    with pytest.raises(InputError, match="no hypothetical scores"):
        write_modisco(explained(hypothetical=False), tmp_path / "m", scores="hypothetical")


def test_no_sequences_are_an_error(tmp_path):
    with pytest.raises(InputError, match="empty"):
        write_modisco(explained(n=0), tmp_path / "m")


def test_an_existing_folder_of_someone_else_is_never_replaced(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    with pytest.raises(OutputExistsError):
        write_modisco(explained(), folder, overwrite=True)
    assert (folder / "thesis.txt").read_text() == "years"


def test_same_arrays_same_bytes(tmp_path):
    one = write_modisco(explained(), tmp_path / "a")
    two = write_modisco(explained(), tmp_path / "b")
    for name in ("ohe.npz", "attr.npz", "manifest.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_arrays_larger_than_a_block_are_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(explained_module, "BLOCK", 2)
    e = explained(n=5)
    folder = write_modisco(e, tmp_path / "m")
    np.testing.assert_array_equal(np.load(folder / "attr.npz")["arr_0"], e.relevance)


def test_bed_of_sites_is_sorted_as_given_and_scores_lie_in_0_to_1000(tmp_path):
    sites = pd.DataFrame(
        {"chrom": ["a", "b"], "start": [3, 1], "end": [9, 4], "score": [0.5, -2.0], "strand": ["+", "-"]}
    )
    lines = [line.split("\t") for line in write_bed(sites, tmp_path / "s.bed").read_text().splitlines()]
    assert [line[:3] for line in lines] == [["a", "3", "9"], ["b", "1", "4"]]
    assert [int(line[4]) for line in lines] == [250, 1000]


def test_bed_without_sites_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no sites"):
        write_bed(pd.DataFrame({"chrom": [], "start": [], "end": []}), tmp_path / "s.bed")
    assert not (tmp_path / "s.bed").exists()


def test_regions_of_another_length_than_the_sequences_are_refused():
    with pytest.raises(InputError, match="region 0 has 20 bp"):
        explained(n=2, regions=windows([0, 5], 20))


def test_no_warning_is_raised_on_the_way(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_modisco(explained(), tmp_path / "m")

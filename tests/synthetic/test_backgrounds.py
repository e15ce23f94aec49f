from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from specs import small

from genoplrp.errors import SpecError
from genoplrp.sequence import decode_codes, reverse_complement, write_fasta
from genoplrp.synthetic import Background, Dataset, simulate
from genoplrp.synthetic.markov import fit_markov


def draw(background: Background, n: int = 400, length: int = 500, seed: int = 0) -> np.ndarray:
    return background.draw(np.random.Generator(np.random.PCG64(seed)), n, length)


def spectrum(codes: np.ndarray, k: int) -> np.ndarray:
    windows = (
        np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64), k, axis=1) @ 4 ** np.arange(k)[::-1]
    )
    return np.bincount(windows.reshape(-1), minlength=4**k) / windows.size


def genome(tmp_path: Path, seed: int = 5) -> Path:
    """Two records with blocks of different GC content, a run of N, and soft-masked letters."""
    rng = np.random.default_rng(seed)
    blocks = [
        "".join(rng.choice(list("ACGT"), 3000, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))
        for gc in (0.3, 0.5, 0.7)
    ]
    path = tmp_path / "genome.fa"
    write_fasta(path, [blocks[0] + "N" * 50 + blocks[1].lower(), blocks[2]], ["chr1", "chr2"], overwrite=True)
    return path


@pytest.mark.parametrize("k", [1, 2, 3])
def test_uniform_bases_have_a_flat_spectrum(k: int) -> None:
    found = spectrum(draw(Background()), k)
    assert np.abs(found - 4.0**-k).max() < 5 * np.sqrt(4.0**-k / 200_000 * k)


def test_uniform_bases_are_independent_of_each_other_in_every_bit_position() -> None:
    codes = draw(Background(), n=2_000, length=64)
    for column in (0, 1, 3, 31, 32, 63):
        counts = np.bincount(codes[:, column], minlength=4)
        assert np.abs(counts - 500).max() < 5 * np.sqrt(500)
    assert len(np.unique(codes, axis=0)) == 2_000


@pytest.mark.parametrize("gc", [0.0, 0.2, 0.41, 1.0])
def test_gc_content_is_what_was_asked_for(gc: float) -> None:
    share = spectrum(draw(Background(kind="gc", gc=gc)), 1)
    assert share[1] + share[2] == pytest.approx(gc, abs=0.006)
    assert share[1] == pytest.approx(share[2], abs=0.006) and share[0] == pytest.approx(share[3], abs=0.006)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_a_markov_chain_gives_back_the_kmers_it_was_fitted_to(tmp_path: Path, order: int) -> None:
    truth = np.random.default_rng(1).dirichlet(np.full(4, 2.0), size=4**order)
    source = Background(kind="markov", order=order, transitions=tuple(truth.reshape(-1)))
    codes = draw(source, n=200, length=2_000)
    sequences = decode_codes(codes)
    write_fasta(tmp_path / "x.fa", sequences)
    fitted = Background(kind="markov", order=order, file=str(tmp_path / "x.fa"))
    # Both strands count, so the spectrum to expect is that of both.
    strands = np.concatenate([codes, 3 - codes[:, ::-1]])
    expected = spectrum(strands, order + 1)
    found = spectrum(draw(fitted, n=400, length=1_000, seed=3), order + 1)
    assert np.abs(found - expected).max() < 0.01
    assert np.abs(found - expected).sum() / 2 < 0.02


def test_fitting_leaves_out_what_spans_an_unknown_base() -> None:
    codes = np.array([0, 0, 4, 1, 1], dtype=np.uint8)
    chain = fit_markov([codes], 1)
    counts = np.ones((4, 4))
    counts[0, 0] += 1  # AA, CC, and TT, GG on the other strand
    counts[1, 1] += 1
    counts[3, 3] += 1
    counts[2, 2] += 1
    np.testing.assert_allclose(chain, counts / counts.sum(axis=1, keepdims=True))


def test_windows_come_from_the_genome_without_unknown_bases(tmp_path: Path) -> None:
    path = genome(tmp_path)
    text = path.read_text().upper().split("\n")
    for sequence in decode_codes(draw(Background(kind="genome", file=str(path)), n=300, length=100)):
        assert sequence in text[1] or sequence in text[3]
        assert "N" not in sequence


def test_windows_stay_inside_the_regions(tmp_path: Path) -> None:
    path = genome(tmp_path)
    text = path.read_text().upper().split("\n")
    (tmp_path / "regions.bed").write_text("#comment\nchr1\t100\t400\tx\nchr2\t2000\t2200\n")
    background = Background(kind="genome", file=str(path), regions=str(tmp_path / "regions.bed"))
    seen = Counter()
    for sequence in decode_codes(draw(background, n=500, length=150)):
        seen[sequence in text[1][100:400], sequence in text[3][2000:2200]] += 1
    assert set(seen) == {(True, False), (False, True)}
    # 151 starts in the first region, 51 in the second.
    assert seen[True, False] / 500 == pytest.approx(151 / 202, abs=0.1)


def test_overlapping_regions_offer_each_start_once(tmp_path: Path) -> None:
    write_fasta(tmp_path / "x.fa", ["ACGTTGCA"], ["chr1"])
    (tmp_path / "x.bed").write_text("chr1\t3\t6\nchr1\t0\t4\nchr1\t0\t4\nchr1\t6\t8\n")
    background = Background(kind="genome", file=str(tmp_path / "x.fa"), regions=str(tmp_path / "x.bed"))
    seen = Counter(decode_codes(draw(background, n=16_000, length=5)))
    assert set(seen) == {"ACGTT", "CGTTG", "GTTGC", "TTGCA"}
    assert all(abs(count - 4_000) < 5 * np.sqrt(4_000) for count in seen.values())


def test_every_start_is_equally_likely(tmp_path: Path) -> None:
    write_fasta(tmp_path / "x.fa", ["ACGTTGCA", "GATTA"])
    codes = draw(Background(kind="genome", file=str(tmp_path / "x.fa")), n=16_000, length=5)
    seen = Counter(decode_codes(codes))
    assert set(seen) == {"ACGTT", "CGTTG", "GTTGC", "TTGCA", "GATTA"}
    assert all(abs(count - 3_200) < 5 * np.sqrt(3_200) for count in seen.values())


@pytest.mark.parametrize("gc", [0.35, 0.5, 0.65])
def test_windows_match_a_gc_content(tmp_path: Path, gc: float) -> None:
    background = Background(kind="genome", file=str(genome(tmp_path)), gc=gc, gc_sd=0.04)
    codes = draw(background, n=2_000, length=200)
    content = ((codes == 1) | (codes == 2)).mean(axis=1)
    assert content.mean() == pytest.approx(gc, abs=0.02)
    assert content.std() < 0.06


def test_windows_match_the_gc_content_of_other_sequences(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    shares = np.repeat([0.3, 0.7], 200)  # two kinds of peaks, nothing between
    peaks = [
        "".join(rng.choice(list("ACGTN"), 300, p=[*np.array([1 - g, g, g, 1 - g]) * 0.49, 0.02]))
        for g in shares
    ]
    write_fasta(tmp_path / "peaks.fa", peaks)
    background = Background(kind="genome", file=str(genome(tmp_path)), match=str(tmp_path / "peaks.fa"))
    codes = draw(background, n=4_000, length=300)
    content = ((codes == 1) | (codes == 2)).mean(axis=1)
    wanted = np.array([(p.count("G") + p.count("C")) / (300 - p.count("N")) for p in peaks])
    bins = np.arange(41) / 40
    found, expected = (np.histogram(x, bins)[0] / len(x) for x in (content, wanted))
    assert np.abs(found - expected).max() < 0.04
    assert found[18:22].sum() < 0.02 < np.histogram(draw_gc(tmp_path), bins)[0][18:22].sum() / 4_000


def draw_gc(tmp_path: Path) -> np.ndarray:
    codes = draw(Background(kind="genome", file=str(tmp_path / "genome.fa")), n=4_000, length=300)
    return np.asarray(((codes == 1) | (codes == 2)).mean(axis=1))


def test_match_and_gc_exclude_each_other() -> None:
    with pytest.raises(SpecError, match="match is for a genome background without gc"):
        Background(kind="genome", file="x.fa", gc=0.4, match="peaks.fa")


def test_shuffled_windows_keep_dinucleotides_of_real_ones(tmp_path: Path) -> None:
    path = genome(tmp_path)
    real = spectrum(draw(Background(kind="genome", file=str(path)), n=2_000, length=200), 2)
    shuffled = draw(Background(kind="shuffle", file=str(path)), n=2_000, length=200)
    assert np.abs(spectrum(shuffled, 2) - real).max() < 0.005
    text = path.read_text().upper()
    assert not any(sequence[50:90] in text for sequence in decode_codes(shuffled[:50]))


def test_a_data_set_with_a_real_background_can_be_made_again_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = genome(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    for kind in ("genome", "shuffle", "markov"):
        data = simulate(small(background={"kind": kind, "file": str(path)}), n=60, seed=2)
        data.save(tmp_path / kind)
        saved = (tmp_path / kind / "spec.toml").read_text()
        assert str(tmp_path) not in saved
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert simulate(str(tmp_path / kind), n=60, seed=2).checksum() == data.checksum()
        assert Dataset.load(tmp_path / kind).checksum() == data.checksum()
        monkeypatch.chdir(tmp_path)


def test_the_hard_background_resembles_the_dna_it_was_fitted_to() -> None:
    from genoplrp.datasets import load_splice_junctions

    data = simulate("hard_background", n=2_000)
    hidden = np.zeros((2_000, 200), dtype=bool)
    for i, start, end in zip(*(data.instances[name] for name in ("sequence", "start", "end")), strict=True):
        hidden[i, start:end] = True
    codes = np.where(hidden, 4, data.one_hot(np.int8).argmax(axis=1))
    windows = np.lib.stride_tricks.sliding_window_view(codes, 2, axis=1)
    known = windows[(windows < 4).all(axis=2)]
    found = np.bincount(known @ [4, 1], minlength=16) / len(known)
    real = load_splice_junctions().sequences
    letters = Counter(s[k : k + 2] for s in real + reverse_complement(real) for k in range(59))
    expected = np.array([letters[a + b] for a in "ACGT" for b in "ACGT"], dtype=float)
    assert np.abs(found - expected / expected.sum()).max() < 0.01


@pytest.mark.parametrize(
    ("content", "regions", "words"),
    [
        (">a\nACGTNACGT\n", "", "no stretch of 60 bp"),
        ("ACGT\n", "", "is not FASTA"),
        (">a\nAC-T\n", "", "record 'a' holds letters"),
        (">a\n" + "ACGT" * 50 + "\n", "chrX\t0\t100\n", "'chrX', which is no sequence"),
        (">a\n" + "ACGT" * 50 + "\n", "a\t100\t50\n", "line 1: expected chrom"),
        (">a\n" + "ACGT" * 50 + "\n", "a 0 50\n", "line 1: expected chrom"),
    ],
)
def test_files_that_give_no_windows_are_named(tmp_path: Path, content: str, regions: str, words: str) -> None:
    (tmp_path / "x.fa").write_text(content)
    background = {"kind": "genome", "file": str(tmp_path / "x.fa")}
    if regions:
        (tmp_path / "x.bed").write_text(regions)
        background["regions"] = str(tmp_path / "x.bed")
    with pytest.raises(SpecError, match=words):
        simulate(small(background=background), n=10)

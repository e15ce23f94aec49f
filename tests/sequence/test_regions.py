import gzip
import os
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoplrp.errors import InputError
from genoplrp.sequence import (
    Genome,
    decode_codes,
    place_variants,
    place_windows,
    read_regions,
    read_vcf,
    reverse_complement,
    tile_regions,
    write_fasta,
)


def sequence(length, seed=0):
    return "".join(random.Random(seed).choices("ACGT", k=length))


@pytest.fixture
def genome(tmp_path):
    chromosomes = {"chr1": sequence(500, 1), "chr2": sequence(120, 2), "chrM": "ACGT" * 10}
    chromosomes["chr2"] = chromosomes["chr2"][:50] + "N" * 10 + chromosomes["chr2"][60:]
    path = tmp_path / "genome.fa"
    with path.open("w") as handle:
        for name, letters in chromosomes.items():
            lines = "\n".join(letters[i : i + 60] for i in range(0, len(letters), 60))
            handle.write(f">{name} some description\n{lines}\n")
    return path, chromosomes


def frame(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "strand"])


# -- region files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [3, 4, 5, 6])
def test_bed_of_three_to_six_columns(tmp_path, columns):
    cells = ["chr1", "10", "30", "peak", "7.5", "-"][:columns]
    (tmp_path / "r.bed").write_text("# a comment\ntrack name=x\n" + "\t".join(cells) + "\n\n")
    row = read_regions(tmp_path / "r.bed").iloc[0]
    expected = ["chr1", 10, 30, "peak" if columns > 3 else "chr1:10-30", 7.5 if columns > 4 else 0.0]
    assert row[["chrom", "start", "end", "name", "score"]].tolist() == expected
    assert row["strand"] == ("-" if columns > 5 else ".")
    assert row["summit"] == -1
    assert row["line"] == 3


@pytest.mark.parametrize("name", ["p.narrowPeak", "p.narrowPeak.gz", "p.bed"])
def test_narrowpeak_summits_are_read_also_from_a_file_called_bed(tmp_path, name):
    text = "chr1\t100\t300\tp1\t500\t.\t4.2\t5\t3\t42\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert read_regions(tmp_path / name)["summit"].tolist() == [42]


def test_gtf_is_turned_into_zero_based_half_open_and_filtered_by_feature(tmp_path):
    (tmp_path / "g.gtf").write_text(
        '1\tsrc\tgene\t11\t20\t.\t-\t.\tgene_id "G1"; gene_name "N";\n'
        '1\tsrc\texon\t12\t15\t.\t-\t.\tgene_id "G1"; transcript_id "T1";\n'
    )
    genes = read_regions(tmp_path / "g.gtf", feature="gene")
    assert genes[["start", "end", "name", "strand"]].values.tolist() == [[10, 20, "G1", "-"]]
    assert len(read_regions(tmp_path / "g.gtf")) == 2
    with pytest.raises(InputError, match="'promoter'; it has exon, gene"):
        read_regions(tmp_path / "g.gtf", feature="promoter")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_windows_programs_write_reads_the_same(tmp_path, pack):
    (tmp_path / "p.bed").write_bytes(pack("\ufeffchr1\t5\t9\tx\r\nchr1\t7\t8\ty\r\n".encode()))
    assert read_regions(tmp_path / "p.bed")[["chrom", "start", "end", "name"]].values.tolist() == [
        ["chr1", 5, 9, "x"],
        ["chr1", 7, 8, "y"],
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
@pytest.mark.parametrize("read", [read_regions, read_vcf, Genome])
def test_a_pipe_is_refused_because_its_beginning_would_be_lost(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.bed")
    with pytest.raises(InputError, match="is a pipe, not a file"):
        read(tmp_path / "pipe.bed")


def test_gff3_names_come_from_the_id(tmp_path):
    (tmp_path / "g.gff3").write_text("##gff-version 3\n1\ts\tmRNA\t5\t6\t.\t+\t.\tID=tx1;Parent=g\n")
    assert read_regions(tmp_path / "g.gff3")["name"].tolist() == ["tx1"]


def test_bigbed_that_is_not_one_is_an_error(tmp_path):
    pytest.importorskip("pyBigWig")
    (tmp_path / "x.bb").write_text("nothing of the kind")
    with pytest.raises(InputError, match="bigBed"):
        read_regions(tmp_path / "x.bb")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment\n", "holds no region"),
        ("chr1\t5\n", "line 1.*2 columns"),
        ("chr1\t5\t9\nchr1\tfive\t9\n", "line 2.*five"),
        ("chr1\t9\t5\n", "start 9 and end 5"),
        ("chr1\t-3\t5\n", "start -3"),
        ("chr1\t5\t5\n", "start 5 and end 5"),
        ("chr1\t5\t9\tn\t0\tforward\n", "strand is 'forward'"),
    ],
)
def test_a_wrong_bed_file_is_an_error_that_names_the_line(tmp_path, text, message):
    (tmp_path / "r.bed").write_text(text)
    with pytest.raises(InputError, match=message):
        read_regions(tmp_path / "r.bed")


def test_a_cut_off_gzip_is_an_error(tmp_path):
    whole = gzip.compress(("chr1\t5\t9\n" * 1000).encode())
    (tmp_path / "r.bed.gz").write_bytes(whole[:-20])
    with pytest.raises(InputError, match="cut off"):
        read_regions(tmp_path / "r.bed.gz")


# -- tiling ---------------------------------------------------------------------------------------------------------


@given(
    start=st.integers(0, 50), size=st.integers(1, 80), length=st.integers(1, 30), stride=st.integers(1, 30)
)
@settings(max_examples=60)
def test_tiles_cover_their_region_with_windows_of_one_length(start, size, length, stride):
    tiles = tile_regions(frame(["c", start, start + size, "+"]), length, min(stride, length))
    assert (tiles["end"] - tiles["start"] == length).all()
    covered = set().union(*(range(a, b) for a, b in zip(tiles["start"], tiles["end"], strict=True)))
    if size >= length:
        assert covered == set(range(start, start + size))
    else:
        assert len(tiles) == 1


# -- genomes --------------------------------------------------------------------------------------------------------


def as_stored(tmp_path, chromosomes, kind):
    if kind == "plain gzip":
        path = tmp_path / "g.fa.gz"
        text = "".join(f">{name}\n{letters}\n" for name, letters in chromosomes.items())
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path = tmp_path / "b.fa.gz"
        write_fasta(path, list(chromosomes.values()), names=list(chromosomes))
    return path


@pytest.mark.parametrize("kind", ["plain", "plain gzip", "bgzip"])
def test_pieces_equal_slices_of_the_letters_and_are_unknown_outside(genome, tmp_path, kind):
    path, chromosomes = genome
    path = path if kind == "plain" else as_stored(tmp_path, chromosomes, kind)
    g = Genome(path)
    assert g.sizes == {name: len(letters) for name, letters in chromosomes.items()}
    for name, start, end in [("chr1", 0, 500), ("chr1", 55, 65), ("chr2", -5, 70), ("chrM", 30, 60)]:
        letters = "N" * max(0, -start) + chromosomes[name][max(start, 0) : end]
        assert decode_codes(g.codes(name, start, end)[None])[0] == letters.ljust(end - start, "N")


def test_two_bit_pieces_equal_those_of_the_fasta(tmp_path):
    pytest.importorskip("py2bit")
    letters = sequence(37, 5)
    path = tmp_path / "g.2bit"
    path.write_bytes(two_bit({"chrA": letters}))
    assert decode_codes(Genome(path).codes("chrA", 3, 30)[None])[0] == letters[3:30]


def two_bit(chromosomes):
    """The 2bit format by its specification (no N, no mask)."""
    header = np.array([0x1A412743, 0, len(chromosomes), 0], "<u4").tobytes()
    index_size = sum(1 + len(name) + 4 for name in chromosomes)
    index, records, at = b"", b"", len(header) + index_size
    for name, letters in chromosomes.items():
        index += bytes([len(name)]) + name.encode() + np.array([at], "<u4").tobytes()
        packed = bytearray((len(letters) + 3) // 4)
        for i, letter in enumerate(letters):
            packed[i // 4] |= "TCAG".index(letter) << (6 - 2 * (i % 4))
        record = np.array([len(letters), 0, 0, 0], "<u4").tobytes() + bytes(packed)
        records, at = records + record, at + len(record)
    return header + index + records


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"hello", "expected FASTA"), (b">a\nAC!T\n", "not a nucleotide")],
)
def test_a_file_that_is_no_genome_is_an_error(tmp_path, content, message):
    (tmp_path / "g.fa").write_bytes(content)
    with pytest.raises(InputError, match=message):
        Genome(tmp_path / "g.fa").codes("a", 0, 4)


def test_a_bgzip_file_that_is_cut_off_is_said(tmp_path):
    bgzf = pytest.importorskip("Bio.bgzf")
    with bgzf.BgzfWriter(str(tmp_path / "whole.fa.gz")) as writer:
        writer.write(">chr1\n" + sequence(300_000, 1) + "\n")
    whole = (tmp_path / "whole.fa.gz").read_bytes()
    (tmp_path / "g.fa.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"g\.fa\.gz.*damaged or cut off.*copy it again"):
        Genome(tmp_path / "g.fa.gz").codes("chr1", 0, 40)


def test_a_fasta_cut_off_after_indexing_is_an_error(genome):
    path, _ = genome
    Genome(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    os.utime(path, (0, 0))
    with pytest.raises(InputError, match="cut off"):
        Genome(path).codes("chrM", 0, 40)


def test_the_index_is_renewed_when_the_file_is_newer(genome):
    path, _ = genome
    Genome(path)
    path.write_text(">other\nACGTACGT\n")
    stamp = path.with_name("genome.fa.fai").stat().st_mtime + 10
    os.utime(path, (stamp, stamp))
    assert Genome(path).sizes == {"other": 8}


# -- windows --------------------------------------------------------------------------------------------------------


def test_windows_are_centred_on_the_middle_and_on_the_summit(genome):
    path, chromosomes = genome
    regions = frame(["chr1", 100, 200, "+"], ["chr1", 100, 200, "-"]).assign(summit=[-1, 20])
    windows = place_windows(regions, Genome(path), 20)
    assert windows.table[["start", "end"]].values.tolist() == [[140, 160], [110, 130]]
    forward, backward = decode_codes(windows.codes(0, 2))
    assert forward == chromosomes["chr1"][140:160]
    assert backward == reverse_complement(chromosomes["chr1"][110:130])


@pytest.mark.parametrize(("edge", "expected"), [("shift", (0, 20)), ("pad", (-5, 15))])
def test_a_window_beyond_the_start_is_moved_or_padded(genome, edge, expected):
    path, chromosomes = genome
    windows = place_windows(frame(["chr1", 0, 10, "+"]), Genome(path), 20, edge=edge)
    assert tuple(windows.table[["start", "end"]].iloc[0]) == expected
    letters = chromosomes["chr1"][:20] if edge == "shift" else "N" * 5 + chromosomes["chr1"][:15]
    assert decode_codes(windows.codes(0, 1)) == [letters]


def test_every_region_is_kept_or_dropped_with_a_reason(genome):
    path, _ = genome
    regions = frame(
        ["chr1", 100, 120, "+"],
        ["chr1", 0, 4, "+"],
        ["chr2", 50, 60, "+"],
        ["chr1", 490, 600, "+"],
        ["chr9", 1, 2, "+"],
    )
    windows = place_windows(regions, Genome(path), 20)
    assert windows.table["region"].tolist() == [0]
    reasons = dict(zip(windows.dropped["region"], windows.dropped["reason"], strict=True))
    assert sorted(reasons) == [1, 2, 3, 4]
    assert "beyond the end" in reasons[1]
    assert "50% of the bases are unknown" in reasons[2]
    assert reasons[3] == "region ends beyond the chromosome"
    assert reasons[4] == "chromosome is not in the genome"
    assert windows.dropped["start"].tolist() == [0, 50, 490, 1]


def test_many_regions_beyond_their_chromosome_are_noted(genome):
    path, _ = genome
    inside = [["chr1", 100 + 10 * i, 120 + 10 * i, "+"] for i in range(30)]
    notes = place_windows(frame(*inside, ["chr1", 490, 600, "+"]), Genome(path), 20).notes
    assert not any("beyond" in note for note in notes)
    notes = place_windows(
        frame(*inside, *[["chr1", 490, 600 + i, "+"] for i in range(2)]), Genome(path), 20
    ).notes
    assert any("2 of 32 regions end beyond their chromosome" in note for note in notes)


def test_unknown_bases_up_to_the_share_asked_for_are_kept(genome):
    path, _ = genome
    windows = place_windows(frame(["chr2", 50, 60, "+"]), Genome(path), 20, max_unknown=0.5)
    assert decode_codes(windows.codes(0, 1))[0].count("N") == 10


def test_names_without_chr_are_matched_and_said(genome):
    path, chromosomes = genome
    windows = place_windows(frame(["1", 100, 120, "+"], ["MT", 5, 25, "+"]), Genome(path), 20)
    assert windows.table["chrom"].tolist() == ["chr1", "chrM"]
    assert "1 -> chr1" in windows.notes[0]
    assert decode_codes(windows.codes(0, 1)) == [chromosomes["chr1"][100:120]]


def test_no_window_at_all_is_an_error_with_the_reasons(genome):
    path, _ = genome
    with pytest.raises(InputError, match=r"comes of 1 region on.*chromosome is not in the genome"):
        place_windows(frame(["scaffold_9", 100, 120, "+"]), Genome(path), 20)


# -- variants -------------------------------------------------------------------------------------------------------


def brute_force_alt(chromosome, position, ref, alt, length):
    mutated = chromosome[:position] + alt + chromosome[position + len(ref) :]
    start = position - length // 2
    return mutated[start : start + length]


@pytest.mark.parametrize(("size", "alt"), [(1, "SNV"), (1, "AACCA"), (6, "first"), (3, "GGG")])
def test_variant_windows_equal_editing_the_chromosome(genome, size, alt):
    path, chromosomes = genome
    letters = chromosomes["chr1"]
    ref = letters[200 : 200 + size]
    alt = {"SNV": "ACGT"["ACGT".index(ref[0]) - 1], "first": ref[0]}.get(alt, alt)
    variants = pd.DataFrame({"chrom": ["1"], "position": [200], "name": ["v"], "ref": [ref], "alt": [alt]})
    windows = place_variants(variants, Genome(path), 50)
    reference, alternative = decode_codes(windows.codes(0, 2))
    assert reference == letters[175:225]
    assert alternative == brute_force_alt(letters, 200, ref, alt, 50)
    assert windows.table["allele"].tolist() == ["ref", "alt"]


def test_vcf_alleles_are_split_and_named(tmp_path):
    (tmp_path / "v.vcf").write_text(
        "##fileformat=VCFv4.3\n#CHROM\nchr1\t11\trs5\ta\tG,T\t.\nchr1\t12\t.\tC\tA\n"
    )
    table = read_vcf(tmp_path / "v.vcf")
    assert table["name"].tolist() == ["rs5:G", "rs5:T", "chr1:12:C>A"]
    assert table["position"].tolist() == [10, 10, 11]
    assert table["ref"].tolist() == ["A", "A", "C"]


def test_variants_that_cannot_be_placed_are_dropped_with_the_reason(genome):
    path, chromosomes = genome
    there = chromosomes["chr1"][200]
    other = "ACGT"["ACGT".index(there) - 1]
    rows = [
        ("chr1", 200, "good", there, other),
        ("chr1", 200, "swapped", other, there),
        ("chr1", 200, "symbolic", there, "<DEL>"),
        ("chr1", 2, "edge", chromosomes["chr1"][2], "A"),
        ("chrX", 2, "unknown", "A", "C"),
    ]
    variants = pd.DataFrame(rows, columns=["chrom", "position", "name", "ref", "alt"])
    windows = place_variants(variants, Genome(path), 20)
    assert windows.table["name"].unique().tolist() == ["good"]
    reasons = dict(zip(windows.dropped["name"], windows.dropped["reason"], strict=True))
    assert reasons["swapped"] == f"reference allele is {other}, the genome has {there}"
    assert set(reasons) == {"swapped", "symbolic", "edge", "unknown"}
    assert "same assembly" in windows.notes[0]


@pytest.mark.parametrize("text", ["chr1\t5\t.\tA\n", "chr1\tx\t.\tA\tC\n", "chr1\t0\t.\tA\tC\n"])
def test_a_line_that_is_no_variant_is_an_error(tmp_path, text):
    (tmp_path / "v.vcf").write_text(text)
    with pytest.raises(InputError, match="line 1"):
        read_vcf(tmp_path / "v.vcf")


def test_a_variant_beside_unknown_bases_is_dropped_as_a_region_is(tmp_path):
    (tmp_path / "g.fa").write_text(">chr1\n" + "ACGT" * 10 + "N" * 5 + "ACGT" * 10 + "\n")
    genome = Genome(tmp_path / "g.fa")
    rows = [("chr1", 20, "clean", "A", "G"), ("chr1", 37, "beside", "C", "G")]
    variants = pd.DataFrame(rows, columns=["chrom", "position", "name", "ref", "alt"])
    windows = place_variants(variants, genome, 20)  # 10 bp on either side
    assert windows.table["name"].tolist() == ["clean"] * 2
    assert windows.dropped["reason"].tolist() == ["25% of the bases are unknown (N)"]
    assert len(place_variants(variants, genome, 20, max_unknown=0.25)) == 4

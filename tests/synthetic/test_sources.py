"""Windows of a genome: where they are from, and that no two parts of a split share a base."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from specs import small

from genoplrp.errors import InputError, SpecError
from genoplrp.sequence import read_fasta, write_fasta
from genoplrp.synthetic import Dataset, Spec, simulate, simulate_to
from genoplrp.synthetic.splits import SPLITS
from genoplrp.synthetic.windows import Windows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten records with runs of N, and 60 peaks of 500 bp, some of which touch or overlap."""
    path = tmp_path_factory.mktemp("genome")
    rng = np.random.default_rng(4)
    records = []
    for _ in range(10):
        letters = rng.choice(list("ACGT"), 8_000)
        letters[3_000:3_040] = "N"
        records.append("".join(letters))
    names = [f"chr{k}" for k in range(10)]
    write_fasta(path / "genome.fa", records, names)
    starts = rng.integers(0, 7_500, 60)
    lines = [f"chr{k % 10}\t{start}\t{start + 500}\n" for k, start in enumerate(starts.tolist())]
    (path / "peaks.bed").write_text("".join(lines))
    return path


def on_genome(folder: Path, peaks: bool = False, **background: Any) -> Spec:
    changes = {key: background.pop(key) for key in ("length", "scan", "split") if key in background}
    background = {"kind": "genome", "file": str(folder / "genome.fa")} | background
    if peaks:
        background["regions"] = str(folder / "peaks.bed")
    return small(background=background, **({"length": 200} | changes))


def overlaps(data: Dataset) -> int:
    """Pairs of windows of two parts that share a base, by brute force."""
    table = data.sources.assign(part=data.split)
    shared = 0
    for _, rows in table.groupby("chrom"):
        start, end, part = (rows[name].to_numpy() for name in ("start", "end", "part"))
        meet = (start[:, None] < end[None]) & (start[None] < end[:, None])
        shared += int((meet & (part[:, None] != part[None])).sum())
    return shared


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"peaks": True},
        {"peaks": True, "gc": 0.5},
        {"length": [120, 200]},
        {"split_by": "chromosome"},
        {"peaks": True, "split_by": "chromosome", "split": {"train": 0.6, "valid": 0.2, "test": 0.2}},
        {"scan": {"motifs": "A", "action": "remove", "p_value": 1e-3}},
    ],
)
def test_no_window_of_one_part_overlaps_one_of_another(folder: Path, how: dict[str, Any]) -> None:
    data = simulate(on_genome(folder, **how), n=600, seed=3)
    assert overlaps(data) == 0
    counts = [int((data.split == part).sum()) for part in SPLITS]
    shares = how.get("split", {"train": 0.8, "valid": 0.1, "test": 0.1})
    assert counts == [round(600 * shares[part]) for part in SPLITS]
    if how.get("split_by") == "chromosome":
        of_part = [set(data.sources["chrom"][data.split == part]) for part in SPLITS]
        assert not of_part[0] & of_part[1] and not of_part[1] & of_part[2] and not of_part[0] & of_part[2]


def test_windows_of_different_parts_overlap_where_that_is_allowed(folder: Path) -> None:
    assert overlaps(simulate(on_genome(folder, peaks=True, split_by="none"), n=600, seed=3)) > 0


@pytest.mark.parametrize("how", [{}, {"peaks": True, "length": [120, 200]}, {"split_by": "none"}])
def test_the_bases_around_what_is_planted_are_those_of_the_genome(folder: Path, how: dict[str, Any]) -> None:
    data = simulate(on_genome(folder, **how), n=80, seed=1)
    records = read_fasta(folder / "genome.fa")
    genome = dict(zip(records.names, records.sequences, strict=True))
    planted = dict(iter(data.instances.groupby("sequence")))
    for k, (chrom, start, end, strand) in enumerate(data.sources.itertuples(index=False)):
        real, made = genome[chrom][start:end], data.sequences[k]
        assert len(real) == len(made) and strand == "+"
        free = np.ones(len(made), dtype=bool)
        for a, b in planted[k][["start", "end"]].itertuples(index=False) if k in planted else ():
            free[a:b] = False
        assert all(x == y for x, y, there in zip(real, made, free, strict=True) if there)
    if how.get("peaks"):
        regions = [line.split("\t") for line in (folder / "peaks.bed").read_text().splitlines()]
        covered = {name: np.zeros(8_000, dtype=bool) for name in genome}
        for name, start, end in regions:
            covered[name][int(start) : int(end)] = True
        assert all(covered[c][s:e].all() for c, s, e, _ in data.sources.itertuples(index=False))


def test_each_part_has_its_share_of_the_windows(folder: Path) -> None:
    windows = Windows(str(folder / "genome.fa"))
    for shares in ([0.8, 0.1, 0.1], [0.5, 0.0, 0.5]):
        parts = windows.divided(shares, "interval", 200)
        room = [int(np.maximum(part.size - 199, 0).sum()) for part in parts]
        np.testing.assert_allclose(np.array(room) / sum(room), shares, atol=0.03)
        # Each base stands in one part at most, and pieces are cut without a loss of bases.
        assert sum(int(part.size.sum()) for part in parts) == int(windows.size.sum())


def test_what_cannot_be_divided_is_refused(tmp_path: Path, folder: Path) -> None:
    write_fasta(tmp_path / "one.fa", ["ACGT" * 200], ["chr1"])
    with pytest.raises(SpecError, match=r"has 1 chromosomes .* none is left for the valid part"):
        simulate(
            small(background={"kind": "genome", "file": str(tmp_path / "one.fa"), "split_by": "chromosome"}),
            n=5,
        )
    with pytest.raises(
        SpecError, match=r"none is left for the .* part of the split; give more, or set split_by = 'none'"
    ):
        simulate(small(length=500, background={"kind": "genome", "file": str(tmp_path / "one.fa")}), n=5)


def test_sources_are_written_streamed_and_read_again(tmp_path: Path, folder: Path) -> None:
    spec = on_genome(folder, peaks=True, scan={"motifs": "A", "action": "remove"})
    data = simulate(spec, n=7_000, seed=2)
    data.save(tmp_path / "held")
    simulate_to(tmp_path / "streamed", spec, 7_000, 2, chunk_size=1)
    text = (tmp_path / "held" / "sequences.tsv").read_bytes()
    assert text == (tmp_path / "streamed" / "sequences.tsv").read_bytes()
    assert text.startswith(b"name\tchrom\tstart\tend\tstrand\nseq0\tchr")
    again = Dataset.load(tmp_path / "streamed")
    assert again.sources.equals(data.sources.astype(again.sources.dtypes))
    some = again.subset([5, 2])
    assert some.sources.equals(again.sources.iloc[[5, 2]].reset_index(drop=True))
    assert simulate(str(tmp_path / "held"), 7_000, 2).checksum() == data.checksum()
    assert simulate("xor", n=4).sources is None


def test_shuffled_windows_keep_where_they_are_from(folder: Path) -> None:
    spec = small(background={"kind": "shuffle", "file": str(folder / "genome.fa")})
    data = simulate(spec, n=20)
    records = read_fasta(folder / "genome.fa")
    genome = dict(zip(records.names, records.sequences, strict=True))
    for k in np.flatnonzero(data.classes == "without"):
        chrom, start, end, _ = data.sources.iloc[k]
        assert sorted(genome[chrom][start:end]) == sorted(data.sequences[k])


def test_a_table_of_sources_that_does_not_fit_is_refused(tmp_path: Path, folder: Path) -> None:
    from genoplrp.synthetic.reading import read_sources

    data = simulate(on_genome(folder), n=3)
    path = tmp_path / "sequences.tsv"
    header = "name\tchrom\tstart\tend\tstrand\n"
    for text, words in [
        (header + "seq0\tchr1\t0\t200\t+\n", "does not name the sequences"),
        (header + "".join(f"seq{k}\tchr1\t0\t199\t+\n" for k in range(3)), "not as long as its sequence"),
        (header + "".join(f"seq{k}\tchr1\tx\t199\t+\n" for k in range(3)), "not a whole number"),
    ]:
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read_sources(path, data.names, data.sequences)

"""Same seed, same bytes: whatever the chunk size, the number of workers, and whether it is streamed or held."""

import json
from pathlib import Path

import pytest

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.synthetic import Dataset, simulate, simulate_to

SAMPLES = Path(__file__).parents[2] / "data" / "synthetic"


def checksums(folder: Path) -> dict[str, str]:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    return {name: entry["sha256"] for name, entry in files.items() if not name.endswith(".parquet")}


def test_workers_and_chunk_sizes_do_not_change_a_byte(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    n, seed = 9_000, 11  # three blocks
    simulate("tal_gata", n, seed).save(tmp_path / "held", compress=True)
    expected = checksums(tmp_path / "held")
    assert {"sequences.fa.gz", "labels.tsv", "instances.bed", "spec.toml", "motifs.meme"} == set(expected)
    for name, workers, chunk_size in [("a", 1, 1), ("b", 1, 5_000), ("c", 1, 1_000_000), ("d", 2, 4_000)]:
        options = {"workers": workers, "chunk_size": chunk_size, "compress": True, "parquet": True}
        simulate_to(tmp_path / name, "tal_gata", n, seed, **options)  # type: ignore[arg-type]
        assert checksums(tmp_path / name) == expected, name
        for file in ("labels.parquet", "instances.parquet"):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "a" / file).read_bytes(), name


def test_noise_and_scans_do_not_depend_on_streaming(tmp_path: Path) -> None:
    simulate("cooperative", 60, 4).save(tmp_path / "held")
    simulate_to(tmp_path / "streamed", "cooperative", 60, 4)
    assert checksums(tmp_path / "held") == checksums(tmp_path / "streamed")


def test_another_seed_gives_other_sequences() -> None:
    one, again, other = (simulate("tal_gata", n=50, seed=seed) for seed in (1, 1, 2))
    assert one.checksum() == again.checksum() != other.checksum()
    assert not set(one.sequences) & set(other.sequences)


def test_blocks_differ_from_each_other() -> None:
    data = simulate("tal_gata", n=9_000)
    assert len(set(data.sequences)) == 9_000


@pytest.mark.parametrize(
    "folder", sorted(path for path in SAMPLES.iterdir() if path.is_dir()), ids=lambda p: p.name
)
def test_committed_samples_are_what_their_recipe_makes_today(folder: Path) -> None:
    sample = Dataset.load(folder)
    assert sample.seed is not None and sample.spec is not None
    assert simulate(sample.spec, len(sample), sample.seed).checksum() == sample.checksum()
    assert simulate(sample.spec.title, len(sample), sample.seed).checksum() == sample.checksum()


def test_an_existing_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").touch()
    with pytest.raises(OutputExistsError, match="exists already"):
        simulate_to(tmp_path / "x", "tal_gata", 10**12)


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genoplrp.synthetic.blocks import BlockMaker

    make = BlockMaker.make

    def fail_in_the_second(self: BlockMaker, block: int):  # type: ignore[no-untyped-def]
        if block == 1:
            raise KeyboardInterrupt
        return make(self, block)

    monkeypatch.setattr(BlockMaker, "make", fail_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        simulate_to(tmp_path / "x", "tal_gata", 9_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("option", "value"), [("workers", 0), ("chunk_size", 0)])
def test_options_that_make_no_sense_are_named(tmp_path: Path, option: str, value: int) -> None:
    with pytest.raises(InputError, match=f"{option} is 0"):
        simulate_to(tmp_path / "x", "tal_gata", 10, **{option: value})  # type: ignore[arg-type]

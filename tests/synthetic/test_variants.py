"""Variants and the truth on disk: what is written is what was planted, changed and worked out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from specs import small

from genoplrp.cli.main import main
from genoplrp.errors import InputError
from genoplrp.sequence import encode_codes, read_fasta
from genoplrp.sequence.variants import read_vcf
from genoplrp.synthetic import Dataset, draw_variants, simulate, simulate_to
from genoplrp.synthetic.oracle import class_log_likelihoods, labels_of_classes


def test_each_variant_changes_one_base_to_the_one_that_is_named_and_none_comes_twice() -> None:
    data = simulate(small(length=[40, 60]), n=12, seed=1)
    found = draw_variants(data, 500)
    assert len(found) == len(found.ref) == len(found.alt) == 500
    by_name = dict(zip(data.names, data.sequences, strict=True))
    for row, ref, alt in zip(found.table.itertuples(), found.ref, found.alt, strict=True):
        assert ref == by_name[row.name] and ref[row.position] == row.ref != row.alt
        assert alt == ref[: row.position] + row.alt + ref[row.position + 1 :]
    assert not found.table.duplicated(["name", "position", "alt"]).any()
    assert found.table.groupby("name").size().between(41, 42).all()


def test_half_of_them_lie_inside_instances_where_there_are_some() -> None:
    data = simulate(small(), n=40, seed=1)
    table = draw_variants(data, 200, seed=3).table
    rows = table["name"].map({name: i for i, name in enumerate(data.names)})
    holding = rows.isin(data.instances["sequence"])
    assert (table["motif"][holding] != "").mean() == pytest.approx(0.5, abs=0.11)
    inside = data.mask()[rows, table["position"]]
    np.testing.assert_array_equal(table["motif"] != "", inside)
    assert set(table["role"]) == {"", "core"}


def test_their_effects_are_those_of_the_oracle_on_the_two_sequences() -> None:
    data = simulate("not", n=30, seed=2)
    found = draw_variants(data, 40)
    label = labels_of_classes(data.spec)[:, 0]
    share = [one.fraction for one in data.spec.classes]

    def log_odds(sequences: list[str]) -> np.ndarray:
        logs = class_log_likelihoods(data.spec, encode_codes(sequences), np.full(len(sequences), 200))
        joint = np.exp(logs) * share
        return np.log(joint @ label / (joint @ (1 - label)))

    expected = log_odds(found.alt) - log_odds(found.ref)
    np.testing.assert_allclose(found.table["effect.label"], expected, atol=2e-6)
    assert expected.min() < -1 and expected.max() > 1


def test_same_seed_same_variants_and_another_seed_others() -> None:
    data = simulate(small(), n=20, seed=1)
    one, same, other = (draw_variants(data, 50, seed=seed).table for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert (one["position"] != other["position"]).mean() > 0.8


def test_all_variants_there_are_and_not_one_more() -> None:
    data = simulate(small(length=20), n=2, seed=1)
    assert not draw_variants(data, 120).table.duplicated(["name", "position", "alt"]).any()
    with pytest.raises(InputError, match="121 variants are asked for; 2 sequences have 120"):
        draw_variants(data, 121)


def test_the_files_say_the_same_as_the_table(tmp_path: Path) -> None:
    data = simulate("tal_gata", n=12, seed=1)
    found = draw_variants(data, 30)
    found.save(tmp_path)
    vcf = read_vcf(tmp_path / "variants.vcf")
    for column, name in (
        ("chrom", "name"),
        ("position", "position"),
        ("name", "variant"),
        ("ref", "ref"),
        ("alt", "alt"),
    ):
        assert vcf[column].tolist() == found.table[name].tolist()
    info = [
        line.split("\t")[7] for line in (tmp_path / "variants.vcf").read_text().splitlines() if line[0] != "#"
    ]
    for text, row in zip(info, found.table.to_dict("records"), strict=True):
        fields = dict(field.split("=") for field in text.strip().split(";"))
        effects = [row[f"effect.{task}"] for task in data.tasks]
        np.testing.assert_allclose(
            [float(value) for value in fields["EFFECT"].split(",")], effects, rtol=1e-5
        )
        assert (fields.get("MOTIF", ""), fields.get("ROLE", "")) == (row["motif"], row["role"])
    for allele, sequences in (("ref", found.ref), ("alt", found.alt)):
        records = read_fasta(tmp_path / f"variants.{allele}.fa")
        assert records.names == found.table["variant"].tolist() and records.sequences == sequences
    again = pd.read_csv(tmp_path / "variants.tsv", sep="\t", keep_default_na=False)
    pd.testing.assert_frame_equal(again, found.table, check_dtype=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "not"
    arguments = ["simulate", "not", "-n", "60", "--seed", "4", "-o", str(path), "--truth", "--variants", "9"]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code
    return path


def test_the_command_writes_the_truth_of_every_site_pair_and_base(folder: Path) -> None:
    data = Dataset.load(folder)
    sites = pd.read_csv(folder / "site_effects.tsv", sep="\t")
    expected = data.site_effects()
    assert sites["sequence"].tolist() == [data.names[i] for i in expected["sequence"]]
    for column in ("start", "end", "motif", "strand", "role", "sign", "effect"):
        assert sites[column].tolist() == expected[column].tolist()
    pairs, known = pd.read_csv(folder / "pair_effects.tsv", sep="\t"), data.pair_effects()
    assert pairs["interaction"].tolist() == known["interaction"].tolist() == [-1.0] * len(known)
    assert pairs["start_first"].tolist() == data.instances["start"].iloc[known["first"]].tolist()
    bases = np.load(folder / "base_effects.npy")
    assert bases.shape == (60, 1, 200) and bases.dtype == np.float32
    np.testing.assert_allclose(bases[:, 0], data.base_effects(), atol=1e-6)


def test_the_command_draws_variants_of_the_test_sequences(folder: Path) -> None:
    data = Dataset.load(folder)
    table = pd.read_csv(folder / "variants.tsv", sep="\t", keep_default_na=False)
    assert len(table) == 9 and set(table["name"]) <= set(np.array(data.names)[data.split == "test"])


def test_truth_is_the_same_bytes_in_pieces_and_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genoplrp.synthetic.blocks._BASES_PER_BLOCK", 1 << 10)  # blocks of 16 sequences
    spec = small(length=[50, 60], tasks=[{"name": "a", "rule": "A"}, {"name": "b", "rule": "not A"}])
    simulate_to(tmp_path / "pieces", spec, 70, 1, chunk_size=1, truth=True)
    simulate(spec, 70, 1).save(tmp_path / "saved", truth=True)
    for file in sorted((tmp_path / "pieces").iterdir()):
        assert file.read_bytes() == (tmp_path / "saved" / file.name).read_bytes(), file.name


def test_truth_and_variants_are_the_same_bytes_for_every_number_of_workers(tmp_path: Path) -> None:
    spec = small(length=[16_000, 33_000], tasks=[{"name": "y", "kind": "real", "motifs": ["A"]}])
    for name, workers in (("one", 1), ("two", 2)):  # of two blocks
        simulate_to(tmp_path / name, spec, 40, 1, chunk_size=1, workers=workers, truth=True, variants=5)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name

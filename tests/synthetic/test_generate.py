"""Statistics of what is generated, compared with the specification."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from specs import MOTIF_FILE, planting, small

from genoplrp.errors import InputError, SpecError
from genoplrp.sequence import encode_codes, reverse_complement
from genoplrp.synthetic import Dataset, Spec, list_presets, read_motifs, simulate
from genoplrp.synthetic.blocks import Plan


def planted_letters(data: Dataset, motif: str) -> list[str]:
    """The planted letters of a motif, each on the motif's own strand."""
    rows = data.instances[data.instances["motif"] == motif]
    columns = zip(*(rows[name].tolist() for name in ("sequence", "start", "end", "strand")), strict=True)
    pieces = [(data.sequences[i][start:end], strand) for i, start, end, strand in columns]
    return [piece if strand == "+" else reverse_complement(piece) for piece, strand in pieces]


def within(count: int, n: int, p: float, sigmas: float = 5) -> bool:
    return abs(count - n * p) <= sigmas * np.sqrt(n * p * (1 - p)) + 1


@pytest.mark.parametrize("minus", [0.0, 0.5, 1.0])
def test_ten_thousand_instances_give_the_pwm_back(minus: float) -> None:
    spec = planting(
        {"motifs": ["TAL1", "GATA1"], "count": 2, "minus": minus},
        motifs=[{"file": str(MOTIF_FILE)}],
        tasks=[{"name": "label", "rule": "TAL1"}],
    )
    data = simulate(spec, n=10_000, seed=1)
    for motif in read_motifs(MOTIF_FILE):
        codes = encode_codes(planted_letters(data, motif.name))
        assert len(codes) > 9_000
        found = np.stack([(codes == base).mean(axis=0) for base in range(4)])
        assert not found[motif.pwm == 0].any()
        with np.errstate(divide="ignore", invalid="ignore"):
            divergence = np.where(found > 0, found * np.log2(found / motif.pwm), 0).sum(axis=0)
        assert divergence.max() < 0.01
        strands = data.instances[data.instances["motif"] == motif.name]["strand"]
        assert within(int((strands == "-").sum()), len(strands), minus)


@pytest.mark.parametrize("preset", list_presets())
def test_instances_lie_inside_do_not_overlap_and_score_what_the_table_says(preset: str) -> None:
    data = simulate(preset, n=300, seed=2)
    for _, rows in data.instances.groupby("sequence"):
        for (_, one), (_, other) in pairwise(rows.iterrows()):
            assert one["end"] <= other["start"]
    assert (data.instances["start"] >= 0).all() and (data.instances["end"] <= 200).all()
    for _, row in data.instances.iterrows():
        letters = data.sequences[row["sequence"]][row["start"] : row["end"]]
        letters = letters if row["strand"] == "+" else reverse_complement(letters)
        odds = data.motifs[row["motif"]].log_odds()
        score = sum(odds["ACGT".index(letter), k] for k, letter in enumerate(letters))
        assert row["score"] == pytest.approx(score, abs=6e-4)


@pytest.mark.parametrize("preset", list_presets())
@pytest.mark.parametrize("n", [20, 1234])
def test_classes_and_splits_have_their_fractions_as_exactly_as_whole_numbers_allow(
    preset: str, n: int
) -> None:
    data = simulate(preset, n=n)
    assert data.spec is not None and data.classes is not None
    cells = Counter(zip(data.classes.tolist(), data.split.tolist(), strict=True))
    for one in data.spec.classes:
        for part, fraction in data.spec.split.items():
            assert abs(cells[one.name, part] - n * one.fraction * fraction) < 1


def test_classes_are_balanced_in_every_block_of_a_long_data_set() -> None:
    plan = Plan(small(length=5_000), n=10_001, seed=0)
    counts = plan.cell_counts()
    assert counts.sum() == 10_001 and len(counts) > 10
    share = counts / counts.sum(axis=1, keepdims=True)
    assert np.ptp(share[:-1], axis=0).max() * plan.block_size <= 2


def test_counts_of_instances_follow_their_distribution() -> None:
    data = simulate("koo2021_fixed", n=20_000, seed=3)
    per_sequence = np.bincount(data.instances["sequence"], minlength=len(data))
    for value, p in zip([3, 4, 5, 6, 7], [0.5, 0.25, 0.17, 0.05, 0.03], strict=True):
        assert within(int((per_sequence == value).sum()), 20_000, p)
    core = data.instances[data.instances["role"] == "core"]["motif"].astype(str).value_counts()
    assert len(core) == 5
    assert all(within(int(count), int(core.sum()), 0.2) for count in core)
    decoys = data.instances[data.instances["role"] == "decoy"]["motif"].astype(str).value_counts()
    assert len(decoys) == 50
    assert all(within(int(count), int(decoys.sum()), 0.02) for count in decoys)


def test_every_arrangement_is_equally_likely() -> None:
    # Two motifs of 6 and 8 bp in 18 bp: 4 free bases, so C(6, 2) places times two orders.
    spec = planting({"motifs": "A"}, {"motifs": "B"}, length=18)
    data = simulate(spec, n=60_000, seed=4)
    starts = data.instances.pivot_table(index="sequence", columns="motif", values="start", observed=True)
    seen = Counter(zip(starts["A"].astype(int), starts["B"].astype(int), strict=True))
    possible = {(a, b) for a in range(13) for b in range(11) if a + 6 <= b or b + 8 <= a}
    assert len(possible) == 30 and set(seen) == possible
    expected = 60_000 / 30
    chi_square = sum((count - expected) ** 2 / expected for count in seen.values())
    assert chi_square < 29 + 5 * np.sqrt(2 * 29)


def test_many_crowded_motifs_still_fit_without_overlap() -> None:
    data = simulate(planting({"motifs": ["A", "B"], "count": 6}, length=50), n=500, seed=1)
    widths = data.instances["end"] - data.instances["start"]
    assert (data.mask(0).sum(axis=1) >= 0).all()
    covered = np.zeros((500, 50), dtype=int)
    for sequence, start, width in zip(
        data.instances["sequence"], data.instances["start"], widths, strict=True
    ):
        covered[sequence, start : start + width] += 1
    assert covered.max() == 1
    assert (np.bincount(data.instances["sequence"]) == 6).all()


def test_sequences_that_cannot_hold_their_motifs_are_drawn_again_and_reported() -> None:
    spec = planting({"motifs": "B", "count": {"kind": "poisson", "mean": 5}}, length=60)
    data = simulate(spec, n=2_000, seed=1)
    # Poisson(5) exceeds 7 motifs of 8 bp with probability 0.133.
    assert within(data.report["redrawn"], 2_000, 0.1334)
    assert np.bincount(data.instances["sequence"]).max() == 7


def test_what_is_drawn_again_stands_where_the_table_says_and_does_not_overlap() -> None:
    word = {"consensus": "TGACTCAG", "name": "A"}
    spec = planting({"motifs": "A", "count": {"kind": "poisson", "mean": 5}}, length=60, motifs=[word])
    data = simulate(spec, n=300, seed=1)
    assert data.report["redrawn"] > 0
    assert set(planted_letters(data, "A")) == {"TGACTCAG"}
    table = data.instances.sort_values(["sequence", "start"])
    same = table["sequence"].to_numpy()[1:] == table["sequence"].to_numpy()[:-1]
    assert (table["start"].to_numpy()[1:] >= table["end"].to_numpy()[:-1])[same].all()


def test_motifs_that_never_fit_end_in_one_clear_message() -> None:
    at = {"kind": "fixed", "start": 20}
    spec = planting({"motifs": "A", "position": at}, {"motifs": "B", "position": at})
    with pytest.raises(SpecError, match="class 'all': in 50 of 50 sequences the motifs did not fit"):
        simulate(spec, n=50)


@pytest.mark.parametrize(
    ("position", "expected"), [({"kind": "fixed", "start": 11}, {11}), ({"kind": "central"}, {27})]
)
def test_anchored_motifs_are_where_they_should_be_among_others(
    position: dict[str, object], expected: set[int]
) -> None:
    spec = planting({"motifs": "A", "position": position}, {"motifs": "B", "count": 3})
    data = simulate(spec, n=300, seed=2)
    assert set(data.instances[data.instances["motif"] == "A"]["start"]) == expected
    assert (np.bincount(data.instances["sequence"]) == 4).all()


def test_lengths_are_uniform_over_their_range_and_instances_stay_inside() -> None:
    data = simulate(planting({"motifs": "A"}, length=[20, 29]), n=10_000, seed=1)
    counts = Counter(data.lengths.tolist())
    assert set(counts) == set(range(20, 30))
    assert all(within(count, 10_000, 0.1) for count in counts.values())
    assert (data.instances["end"].to_numpy() <= data.lengths[data.instances["sequence"]]).all()
    assert data.one_hot().shape == (10_000, 4, 29)
    assert not data.one_hot()[data.lengths == 20][:, :, 20:].any()


def test_distinct_motifs_are_drawn_without_replacement() -> None:
    spec = planting({"motifs": ["A", "B"], "count": 2, "distinct": True})
    data = simulate(spec, n=200)
    assert data.instances.groupby("sequence")["motif"].nunique().eq(2).all()


def test_weights_favour_motifs() -> None:
    data = simulate(planting({"motifs": ["A", "B"], "weights": [3, 1]}), n=8_000)
    assert within(int((data.instances["motif"] == "A").sum()), 8_000, 0.75)


def test_best_sampling_plants_the_likeliest_letters() -> None:
    spec = planting({"motifs": "A"}, motifs=[{"consensus": "GRTAAG", "name": "A", "sampling": "best"}])
    assert set(planted_letters(simulate(spec, n=100), "A")) == {"GATAAG"}


def test_a_minimum_score_holds_and_cuts_the_distribution_only() -> None:
    source = {"file": str(MOTIF_FILE), "names": ["TAL1"]}
    tasks = [{"name": "label", "rule": "TAL1"}]
    free = simulate(planting({"motifs": "TAL1"}, motifs=[source], tasks=tasks), n=20_000, seed=1).instances[
        "score"
    ]
    cut = planting({"motifs": "TAL1"}, motifs=[source | {"min_score": 13.0}], tasks=tasks)
    scores = simulate(cut, n=20_000, seed=2).instances["score"]
    assert scores.min() >= 13.0 - 6e-4
    kept = free[free >= 13.0]
    assert 0.3 < len(kept) / len(free) < 0.95
    assert scores.mean() == pytest.approx(kept.mean(), abs=0.05)


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_a_number_of_sequences_that_is_none_is_refused(n: object) -> None:
    with pytest.raises(InputError, match="n is"):
        simulate("tal_gata", n=n)  # type: ignore[arg-type]


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seed is -1"):
        simulate("tal_gata", n=1, seed=-1)


def test_spoilt_copies_of_a_motif_lose_half_of_its_score() -> None:
    for how in ("mutated", "shuffled"):
        source = {"file": str(MOTIF_FILE), "names": ["TAL1"]}
        spec = planting(
            {"motifs": "TAL1", "broken": how}, motifs=[source], tasks=[{"name": "label", "rule": "TAL1"}]
        )
        data = simulate(spec, n=500)
        assert (data.instances["role"] == "broken").all()
        assert (data.instances["score"] <= data.motifs["TAL1"].best_score / 2).mean() > 0.99
        assert not data.labels.any() and not data.mask(0).any()


def dinucleotides(sequence: str) -> Counter[str]:
    return Counter(one + other for one, other in pairwise(sequence))


def test_a_shuffled_class_keeps_each_dinucleotide_and_nothing_planted() -> None:
    def spec(shuffled: bool) -> Spec:
        plant = [{"motifs": ["A", "B"], "count": 2}]
        classes = [
            {"name": "real", "fraction": 0.5, "plant": plant},
            {"name": "matched", "fraction": 0.5, "plant": plant, "shuffled": shuffled},
        ]
        return small(length=[50, 60], classes=classes, tasks=[{"name": "label", "rule": "A or B"}])

    data, before = simulate(spec(True), n=400, seed=5), simulate(spec(False), n=400, seed=5)
    assert data.classes is not None
    matched = data.classes == "matched"
    for one, other, here in zip(data.sequences, before.sequences, matched, strict=True):
        assert dinucleotides(one) == dinucleotides(other)
        assert (one == other) != here
    assert data.labels[:, 0].tolist() == (~matched).tolist()
    assert set(data.instances["sequence"]) == set(np.flatnonzero(~matched))
    kept = before.instances[~matched[before.instances["sequence"]]].reset_index(drop=True)
    columns = ["sequence", "start", "end", "score"]
    assert data.instances[columns].equals(kept[columns])
    for row in data.instances.itertuples():
        letters = data.sequences[row.sequence][row.start : row.end]
        assert letters == before.sequences[row.sequence][row.start : row.end]

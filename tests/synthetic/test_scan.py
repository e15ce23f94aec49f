from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from specs import planting, small

from genoplrp.errors import InputError
from genoplrp.sequence import encode_codes, reverse_complement
from genoplrp.synthetic import Motif, simulate
from genoplrp.synthetic.scan import best_scores, find_hits, score_threshold

MOTIF = Motif(
    "m",
    np.array([[0.7, 0.1, 0.0, 0.4], [0.1, 0.2, 0.9, 0.1], [0.1, 0.6, 0.05, 0.25], [0.1, 0.1, 0.05, 0.25]]),
)


def score_by_hand(motif: Motif, letters: str) -> float:
    odds = motif.log_odds()
    return float(sum(odds["ACGT".index(letter), k] for k, letter in enumerate(letters)))


def hits_by_hand(motif: Motif, sequence: str, threshold: float) -> set[tuple[int, bool]]:
    found = set()
    for start in range(len(sequence) - motif.width + 1):
        letters = sequence[start : start + motif.width]
        if "N" in letters:
            continue
        for minus, strand in ((False, letters), (True, reverse_complement(letters))):
            if score_by_hand(motif, strand) >= threshold:
                found.add((start, minus))
    return found


@pytest.mark.parametrize("p_value", [0.5, 0.1, 0.02, 0.0039])
def test_the_threshold_is_the_lowest_score_that_is_rare_enough(p_value: float) -> None:
    scores = np.array([score_by_hand(MOTIF, "".join(letters)) for letters in product("ACGT", repeat=4)])
    threshold = score_threshold(MOTIF, p_value)
    assert (scores >= threshold).mean() <= p_value
    lower = scores[scores < threshold].max()
    assert (scores >= lower).mean() > p_value


def test_a_threshold_no_sequence_reaches_lies_above_the_best_score() -> None:
    assert score_threshold(MOTIF, 1e-6) > MOTIF.best_score


@pytest.mark.parametrize("p_value", [0, 1, -0.5])
def test_what_is_no_probability_is_refused(p_value: float) -> None:
    with pytest.raises(InputError, match="p_value"):
        score_threshold(MOTIF, p_value)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ACGTN", min_size=12, max_size=12), min_size=1, max_size=4), st.floats(-2, 5))
def test_hits_are_those_found_letter_by_letter_on_both_strands(
    sequences: list[str], threshold: float
) -> None:
    hits = find_hits(encode_codes(sequences), [MOTIF], [threshold])
    for row, sequence in enumerate(sequences):
        here = hits.row == row
        found = set(zip(hits.start[here].tolist(), hits.minus[here].tolist(), strict=True))
        assert found == hits_by_hand(MOTIF, sequence, threshold)


def test_the_best_score_of_a_sequence_stops_at_its_length() -> None:
    codes = encode_codes(["TTTTTTAGCA", "AGCATTTTTT"])
    best = best_scores(codes, MOTIF, np.array([6, 6]))
    assert best[0] < best[1] == pytest.approx(score_by_hand(MOTIF, "AGCA"), abs=1e-5)


def accidental_by_hand(data, threshold: float) -> int:  # type: ignore[no-untyped-def]
    motif, count = data.motifs["A"], 0
    for index, sequence in enumerate(data.sequences):
        rows = data.instances[(data.instances["sequence"] == index) & (data.instances["role"] != "decoy")]
        planted = {
            k for start, end in zip(rows["start"], rows["end"], strict=True) for k in range(start, end)
        }
        for start, _ in hits_by_hand(motif, sequence, threshold):
            count += 2 * len(planted & set(range(start, start + motif.width))) < motif.width
    return count


SCAN = {"motifs": "A", "p_value": 0.01}


def test_accidental_hits_are_counted_as_by_hand() -> None:
    data = simulate(small(scan=SCAN), n=200, seed=2)
    threshold = score_threshold(data.motifs["A"], 0.01)
    assert data.report["accidental"] == accidental_by_hand(data, threshold) > 10


def test_the_table_of_accidental_hits_has_those_of_the_report_letter_by_letter() -> None:
    data = simulate(small(scan=SCAN, length=[40, 60]), n=200, seed=2)
    hits, motif = data.accidental_hits(), data.motifs["A"]
    assert len(hits) == data.report["accidental"] > 10
    for row in hits.itertuples():
        letters = data.sequences[row.sequence][row.start : row.end]
        letters = letters if row.strand == "+" else reverse_complement(letters)
        assert row.score == pytest.approx(score_by_hand(motif, letters), abs=1e-3)
    assert (hits["end"] - hits["start"] == motif.width).all()


def test_accidental_hits_can_be_looked_for_without_a_scan_in_the_specification() -> None:
    data = simulate(small(), n=200, seed=2)
    assert (
        len(data.accidental_hits(p_value=0.01))
        == simulate(small(scan=SCAN), n=200, seed=2).report["accidental"]
    )
    assert set(data.accidental_hits(["B"], 0.01)["motif"]) == {"B"}
    with pytest.raises(InputError, match="no motif 'C'"):
        data.accidental_hits(["C"])


def test_after_removal_none_is_left_and_what_was_planted_still_stands() -> None:
    spec = small(scan=SCAN | {"action": "remove"})
    data, before = simulate(spec, n=200, seed=2), simulate(small(scan=SCAN), n=200, seed=2)
    threshold = score_threshold(data.motifs["A"], 0.01)
    assert data.report["accidental"] == before.report["accidental"] > 10
    assert data.report["accidental_left"] == 0 == accidental_by_hand(data, threshold)
    assert data.instances.equals(before.instances)
    mask = data.mask(0)
    for one, other, planted in zip(data.sequences, before.sequences, mask, strict=True):
        assert all(a == b for a, b, here in zip(one, other, planted, strict=True) if here)


def test_hits_inside_decoys_cannot_be_removed_and_are_reported() -> None:
    motifs = [{"consensus": "GATAAG", "name": "A"}, {"consensus": "CCGATAAGCC", "name": "B"}]
    scan = SCAN | {"action": "remove"}
    data = simulate(planting({"motifs": "B", "role": "decoy"}, motifs=motifs, scan=scan), n=100, seed=1)
    threshold = score_threshold(data.motifs["A"], 0.01)
    assert data.report["accidental_left"] == accidental_by_hand(data, threshold) >= 100


def test_a_palindrome_planted_once_is_no_accident_on_its_other_strand() -> None:
    motifs = [{"consensus": "CACGTG", "name": "A"}]
    data = simulate(planting({"motifs": "A"}, motifs=motifs, scan=SCAN | {"action": "remove"}), n=200)
    assert data.report["accidental_left"] == 0
    assert all("CACGTG" in sequence for sequence in data.sequences)

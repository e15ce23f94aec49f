import numpy as np
import pandas as pd
import pytest

from genoplrp.sequence import codes_to_one_hot, encode_codes
from genoplrp.sites import FoundMotif, credited
from genoplrp.synthetic import Motif

ONE, TWO = "GATTACAGT", "CCGGAAGTA"
N, LENGTH = 80, 60


def table(name, rows, start, strand):
    return pd.DataFrame(
        {"motif": name, "sequence": rows, "start": start, "end": start + 9, "strand": strand}
    ).reset_index(drop=True)


def site(rows, start, end, sign="+"):
    return pd.DataFrame({"sequence": rows, "start": start, "end": end, "sign": sign, "score": 1.0})


@pytest.fixture
def composites():
    """Sequences with both words side by side; the clustering gave every window to the first but for twenty."""
    rng = np.random.default_rng(1)
    codes = rng.integers(4, size=(N, LENGTH), dtype=np.uint8)
    rows, at, gap = np.arange(N), rng.integers(5, 25, size=N), rng.integers(0, 8, size=N)
    minus = rng.random(N) < 0.5
    for i in range(N):
        for word, start in ((ONE, at[i]), (TWO, at[i] + 9 + gap[i])):
            forward = encode_codes(word)[0]
            codes[i, start : start + 9] = 3 - forward[::-1] if minus[i] else forward
    strand = np.where(minus, "-", "+")
    two = at + 9 + gap
    pwm = [Motif.from_consensus(word, name="m").pwm for word in (ONE, TWO)]
    motifs = [
        FoundMotif("positive_0", pwm[0], pwm[0], table("positive_0", rows[:60], at[:60], strand[:60])),
        FoundMotif("positive_1", pwm[1], pwm[1], table("positive_1", rows[:20], two[:20], strand[:20])),
    ]
    # Called a little off, as windows of relevance are.
    sites = pd.concat([site(rows, at + 1, at + 8), site(rows, two - 1, two + 9)], ignore_index=True)
    return codes_to_one_hot(codes), motifs, sites, (at, two, strand)


def test_a_site_that_no_instance_covers_goes_to_the_motif_that_fits_it(composites):
    X, motifs, sites, (at, two, strand) = composites
    found = credited(motifs, X, X, sites)
    assert [one.name for one in found] == ["positive_0", "positive_1"]
    for one, start, word in zip(found, (at, two), (ONE, TWO), strict=True):
        pd.testing.assert_frame_equal(
            one.instances, table(one.name, np.arange(N), start, strand), check_dtype=False
        )
        np.testing.assert_allclose(one.pwm, Motif.from_consensus(word, name="m").pwm, atol=1e-5)


def test_nothing_is_counted_twice_and_bases_that_fit_no_motif_are_left_alone(composites):
    X, motifs, sites, (at, _, _) = composites
    whole = credited(motifs, X, X, sites)
    again = credited(whole, X, X, sites)
    for one, other in zip(whole, again, strict=True):
        pd.testing.assert_frame_equal(one.instances, other.instances)
    # Sites side by side over one word: it is an instance once. Sites elsewhere: of no motif.
    split = pd.concat([site([70], at[70], at[70] + 5), site([70], at[70] + 5, at[70] + 9)], ignore_index=True)
    elsewhere = site(np.arange(N), 46, 58)
    found = credited(motifs, X, X, pd.concat([split, elsewhere], ignore_index=True))
    assert [len(one.instances) for one in found] == [61, 20]


def test_a_site_of_the_other_sign_and_an_unknown_strand_are_no_instances(composites):
    X, motifs, sites, (_, _, strand) = composites
    against = credited(motifs, X, X, sites.assign(sign="-"))
    assert [len(one.instances) for one in against] == [60, 20]
    one_strand = FoundMotif(
        "positive_0", motifs[0].pwm, motifs[0].pwm,
        motifs[0].instances[motifs[0].instances["strand"] == "+"].reset_index(drop=True),
    )  # fmt: skip
    found = credited([one_strand], X, X, sites)[0].instances
    assert set(found["strand"]) == {"+"}
    assert found["sequence"].tolist() == np.flatnonzero(strand == "+").tolist()


def test_at_the_end_of_a_sequence_a_motif_stays_inside_and_an_unknown_base_speaks_for_none():
    codes = np.random.default_rng(0).integers(4, size=(N, 30), dtype=np.uint8)
    word = encode_codes(ONE)[0]
    codes[:, :9] = word
    codes[70:, :5] = word[4:]  # the end of the word at the start of the sequence
    codes[70:, 5:9] = 0
    codes[60:70, 8] = 4
    X = codes_to_one_hot(codes)
    pwm = Motif.from_consensus(ONE, name="m").pwm
    motif = FoundMotif("positive_0", pwm, pwm, table("positive_0", np.arange(50), 0, "+"))
    fuzzy = motif.instances.copy()
    found = credited(
        [FoundMotif("positive_0", pwm * 0.9 + 0.025, pwm, fuzzy)], X, X, site(np.arange(N), 0, 7)
    )
    assert found[0].instances["sequence"].tolist() == list(range(60))

"""What two motifs have in common, and that a name needs enough of it."""

import numpy as np
import pandas as pd
import pytest

from genoplrp.sites import FoundMotif, match_motifs, motif_table
from genoplrp.sites.matching import LEAST_ORDER, LEAST_SHARED
from genoplrp.sites.sharing import order_share, shared_information
from genoplrp.synthetic import Motif


def columns(rng, width, concentration=0.5):
    return rng.dirichlet(np.full(4, concentration), size=width).T


def found(pwm, name="positive_0"):
    n, width = 50, pwm.shape[1]
    where = pd.DataFrame({"motif": name, "sequence": range(n), "start": 0, "end": width, "strand": "+"})
    return FoundMotif(name, pwm, pwm, where)


def by_loops(one, other):
    """Every placement with an overlap of five columns, column by column."""

    def said(column):
        return 2 + sum(x * np.log2(x) for x in column if x > 0)

    best, shares = -np.inf, None
    for turned in (other, other[::-1, ::-1]):
        for offset in range(-other.shape[1], one.shape[1] + 1):
            both = of_one = of_other = 0.0
            inside = [j for j in range(one.shape[1]) if 0 <= j - offset < other.shape[1]]
            for j in inside:
                f, g = one[:, j], turned[:, j - offset]
                a, b = f - 0.25, g - 0.25
                cosine = (a @ b) / np.sqrt((a @ a) * (b @ b))
                both += np.sqrt(said(f) * said(g)) * cosine
                of_one += said(f) * cosine
                of_other += said(g) * cosine
            if len(inside) >= min(5, one.shape[1], other.shape[1]) and both > best:
                best, shares = both, (of_one / sum(map(said, one.T)), of_other / sum(map(said, other.T)))
    return shares


@pytest.mark.parametrize("seed", range(6))
def test_shared_information_is_that_of_the_best_placement_by_loops(seed):
    rng = np.random.default_rng(seed)
    one, other = columns(rng, int(rng.integers(3, 12))), columns(rng, int(rng.integers(3, 12)))
    there, back = shared_information(one, other), shared_information(other[::-1, ::-1], one)
    np.testing.assert_allclose(there, by_loops(one, other), atol=1e-8)
    np.testing.assert_allclose(there, (back.second, back.first), atol=1e-8)
    assert there.both == pytest.approx(np.sqrt(np.clip(there.first, 0, 1) * np.clip(there.second, 0, 1)))


def test_columns_without_preference_share_nothing_and_a_blurred_copy_is_a_copy():
    flat = np.full((4, 12), 0.25)
    assert shared_information(flat, flat) == (0, 0)
    gata = np.eye(4)[[2, 0, 3, 0, 0, 2]].T
    assert shared_information(gata, flat) == (0, 0)
    wide = np.hstack([flat[:, :5], 0.3 * gata + 0.7 / 4, flat])
    assert shared_information(wide, gata) == (1, 1)


def test_order_has_no_share_in_a_tract_and_is_what_the_bases_leave():
    rng = np.random.default_rng(0)
    assert order_share(np.repeat(columns(rng, 1), 9, axis=1)) == pytest.approx(0, abs=1e-12)
    assert order_share(np.full((4, 3), 0.25)) == 0
    pwm = columns(rng, 7)
    mean = pwm.mean(axis=1)

    def divergence(from_):
        return sum(x * np.log2(x / m) for column in pwm.T for x, m in zip(column, from_, strict=True))

    assert order_share(pwm) == pytest.approx(divergence(mean) / divergence(np.full(4, 0.25)))
    assert order_share(pwm[:, rng.permutation(7)]) == pytest.approx(order_share(pwm))


def others(n=60):
    rng = np.random.default_rng(1)
    return [Motif(f"other{k}", columns(rng, 9, 0.2)) for k in range(n)]


def test_a_stretch_that_says_little_is_no_match():
    """A wide factor with a spacer, and a motif of weak columns before AG: alike where neither says anything."""
    pytest.importorskip("memelite")
    rng = np.random.default_rng(2)
    word, end = np.eye(4)[[1, 1, 0, 2, 3, 2]].T * 0.96 + 0.01, np.eye(4)[[0, 2]].T * 0.96 + 0.01
    spacer = columns(rng, 14, 60.0)
    known = [Motif("WIDE", np.hstack([word, spacer, word]), matrix_id="M1"), *others()]
    one = found(np.hstack([spacer, end]))
    matches = match_motifs([one], known)
    assert matches["match"].iloc[0] == "WIDE"
    assert matches["q_value"].iloc[0] < 0.01  # it would be the name
    row = motif_table([one], matches).iloc[0]
    assert row["match"] == row["matrix_id"] == row["family"] == row["also"] == ""
    assert row["no_name"].startswith("WIDE M1 is the nearest")
    assert f"{row['of_match']:.0%}" in row["no_name"]
    assert row["of_match"] < LEAST_SHARED
    # The same factor, whole, has its name.
    whole = found(known[0].pwm)
    row = motif_table([whole], match_motifs([whole], known)).iloc[0]
    assert (row["match"], row["no_name"]) == ("WIDE", "")
    assert (row["of_motif"], row["of_match"]) == (1, 1)


def test_a_half_of_a_dimer_has_the_name_of_the_factor_that_it_is():
    """The dimer's half is the sharper copy, so that Tomtom has the dimer first; the factor itself is the name."""
    pytest.importorskip("memelite")
    half = np.eye(4)[[0, 2, 0, 3, 0, 0, 2]].T * 0.9 + 0.025
    partner = np.eye(4)[[1, 0, 2, 2, 3, 1, 1, 2, 3, 1, 1, 2]].T * 0.9 + 0.025
    factor = Motif("FACTOR", half * 0.8 + 0.05)
    known = [Motif("DIMER", np.hstack([half, partner])), factor, *others()]
    one = found(half)
    matches = match_motifs([one], known)
    p = matches.set_index("match")["p_value"]
    assert p["DIMER"] < p["FACTOR"]
    assert matches["match"].iloc[0] == "FACTOR"
    assert motif_table([one], matches)["match"].tolist() == ["FACTOR"]


def test_a_tract_has_no_name_even_where_a_factor_is_one():
    pytest.importorskip("memelite")
    tract = np.full((4, 10), 0.01)
    tract[0] = 0.97
    known = [Motif("TRACT", tract), *others()]
    one = found(tract)
    matches = match_motifs([one], known)
    assert matches["match"].iloc[0] == "TRACT"
    assert order_share(tract) < LEAST_ORDER
    row = motif_table([one], matches).iloc[0]
    assert row["match"] == ""
    assert row["no_name"].startswith("a tract")

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genoplrp as gp
from genoplrp.sequence import codes_to_one_hot, encode_codes
from genoplrp.sites import FoundMotif, bounded, merge_alike, overlay
from genoplrp.sites.instances import counted_anew
from genoplrp.sites.overlays import LOSS, MORE_LOSS, SAME_USE, Overlay, one_matrix, used_alike
from genoplrp.synthetic import Motif


def letters(word):
    return Motif.from_consensus(word, name="m").pwm


def by_loops(one, other):
    """The best similarity by trying every placement, both strands, on a wide canvas."""
    w, v, best = one.shape[1], other.shape[1], -1.0
    norm = np.sqrt(((one - 0.25) ** 2).sum() * ((other - 0.25) ** 2).sum())
    for turned in (other, other[::-1, ::-1]):
        for at in range(w + v):
            wide = np.zeros((2, 4, w + 2 * v))
            wide[0, :, v : v + w] = one - 0.25
            wide[1, :, at : at + v] = turned - 0.25
            shared = min(v + w, at + v) - max(v, at)
            if shared >= min(5, w, v):
                best = max(best, (wide[0] * wide[1]).sum() / norm)
    return best


@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(3, 9))
@settings(max_examples=50)
def test_the_overlay_is_the_best_of_all_placements_and_as_good_both_ways(seed, w, v):
    rng = np.random.default_rng(seed)
    one, other = rng.dirichlet([0.3] * 4, size=w).T, rng.dirichlet([0.3] * 4, size=v).T
    found = overlay(one, other).similarity
    assert found == pytest.approx(by_loops(one, other), abs=1e-9)
    assert found == pytest.approx(overlay(other, one).similarity, abs=1e-9)


def test_one_different_base_of_eight_is_another_motif_and_a_shift_is_not():
    assert overlay(letters("GATTACAG"), letters("GATTACCG")).similarity < 0.85
    shifted = overlay(letters("GATTACAG"), letters("ATTACAG"))
    assert shifted.similarity > 0.9
    assert (shifted.offset, shifted.strand) == (1, "+")


WORD = "GATTACAGT"


def planted():
    """Sixty sequences with one word each, on either strand, found by two motifs of which one is shifted or turned."""
    rng = np.random.default_rng(2)
    codes = rng.integers(4, size=(60, 50), dtype=np.uint8)
    minus, at = rng.random(60) < 0.5, rng.integers(8, 30, size=60)
    forward = encode_codes(WORD)[0]
    for i in range(60):
        codes[i, at[i] : at[i] + 9] = 3 - forward[::-1] if minus[i] else forward
    return codes, minus, at


@pytest.mark.parametrize("turned", [False, True])
def test_two_halves_of_a_motif_become_one_with_every_instance_in_place(turned):
    codes, minus, at = planted()
    X = codes_to_one_hot(codes)
    scores = X * np.random.default_rng(0).random(X.shape).astype(np.float32)

    def motif(name, rows, first, last, flip):
        pwm = letters(WORD)[:, first:last]
        strand = np.where(minus[rows] != flip, "-", "+")
        low = np.where(minus[rows], at[rows] + 9 - last, at[rows] + first)
        table = pd.DataFrame(
            {"motif": name, "sequence": rows, "start": low, "end": low + last - first, "strand": strand}
        )
        return FoundMotif(name, pwm[::-1, ::-1] if flip else pwm, pwm, table)

    one = motif("positive_0", np.arange(40), 0, 9, False)
    two = motif("positive_1", np.arange(35, 60), 1, 9, turned)
    other = motif("negative_0", np.arange(40), 0, 9, False)
    merged = merge_alike([one, two, other], X, scores)
    assert [m.name for m in merged] == ["positive_0", "negative_0"]
    table = merged[0].instances
    assert table["sequence"].tolist() == list(range(60))
    np.testing.assert_array_equal(table["start"], at)
    np.testing.assert_array_equal(table["strand"] == "-", minus)
    np.testing.assert_allclose(merged[0].pwm, letters(WORD), atol=1e-5)
    total = np.zeros((4, 9))
    for i in range(60):
        piece = scores[i, :, at[i] : at[i] + 9]
        total += piece[::-1, ::-1] if minus[i] else piece
    np.testing.assert_allclose(merged[0].contribution, total / 60, rtol=1e-5)


def standing(words, n=60, length=60, seed=5):
    """Sequences that hold one word each, of matrices given as consensus or (4, w), and the motif of each word."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(4, size=(n * len(words), length), dtype=np.uint8)
    motifs = []
    for k, word in enumerate(words):
        pwm = letters(word) if isinstance(word, str) else word
        rows, at = np.arange(k * n, (k + 1) * n), rng.integers(20, length - 20 - pwm.shape[1], size=n)
        for i, start in zip(rows, at, strict=True):
            codes[i, start : start + pwm.shape[1]] = [rng.choice(4, p=p / p.sum()) for p in pwm.T]
        motifs.append(found(codes, f"positive_{k}", rows, at, at + pwm.shape[1]))
    return codes_to_one_hot(codes), motifs


def found(codes, name, rows, start, end):
    pieces = [codes_to_one_hot(codes[i : i + 1, s:e])[0] for i, s, e in zip(rows, start, end, strict=True)]
    pwm = np.mean(pieces, axis=0, dtype=np.float64) + 1e-6
    table = pd.DataFrame({"motif": name, "sequence": rows, "start": start, "end": end, "strand": "+"})
    return FoundMotif(name, pwm / pwm.sum(axis=0), pwm, table)


def test_different_motifs_stay_apart():
    X, motifs = standing(["CCACGTGGA", "TTGCGCAAT", WORD])
    assert len(merge_alike(motifs, X, X)) == 3


@pytest.mark.parametrize(
    "words",
    [
        ("TGACTCA", "TGACGTCA"),
        ("ACCGGAAGT", "AAAGAGGAAGT"),
        ("AGATAAGG", "CAGATGTT"),
        ("GATAAG", "GATAAGNNCATCTG"),
    ],
    ids=["AP-1 and CREB", "ETS of different flanks", "GATA1 and TAL1", "one with another one beside it"],
)
def test_a_core_alike_does_not_make_two_motifs_one(words):
    X, (one, other) = standing(words)
    assert one_matrix(one, other, X) is None
    assert one_matrix(other, one, X) is None


def test_no_two_motifs_of_a_preset_are_described_by_one_matrix():
    uses = gp.load_spec("koo2021_fixed").motifs | gp.load_spec("tal_gata").motifs
    names = ("CEBPB", "GABPA", "GATA1", "MAX", "SP1", "TAL1", "YY1")
    X, motifs = standing([uses[name].motif.pwm for name in names], n=150, length=80)
    assert len(merge_alike([bounded(one, X, X) for one in motifs], X, X)) == len(motifs)


def one_matrix_by_loops(one, other, X):
    """The placement whose mean matrix holds most bits, by spelling every column out of the sequences."""
    base = X.sum(axis=(0, 2), dtype=np.float64) + 1
    base /= base.sum()

    def column(motif, c):
        """Frequencies at column c along the motif, which may lie outside of it; all instances on the plus strand."""
        counts = base.copy()
        for row, start in motif.instances[["sequence", "start"]].to_numpy():
            counts += X[row, :, start + c]
        return counts / counts.sum()

    def bits(f):
        return sum(f[b] * np.log2(f[b] / base[b]) for b in range(4))

    n, m, w, v = len(one.instances), len(other.instances), one.width, other.width
    bias = 3 / (2 * np.log(2))
    best = (-np.inf,)
    for strand in "+-":
        for offset in range(3 - v, w - 2):
            value = lost = common = against = 0.0
            for c in range(min(0, offset), max(w, offset + v)):
                f, d = column(one, c), c - offset
                g = column(other, d) if strand == "+" else column(other, v - 1 - d)[::-1]
                value += bits((f + g) / 2)
                lost += (bits(f) + bits(g)) / 2 - bits((f + g) / 2) - bias * (1 / n + 1 / m) / 4
                least = min(max(bits(f) - bias / n, 0), max(bits(g) - bias / m, 0))
                if (f - base) @ (g - base) > 0:
                    common += least
                else:
                    against += least
            if value > best[0]:
                best = (value, offset, strand, common >= 4 and lost + against <= LOSS * common)
    return best[1:]


@pytest.mark.parametrize(("seed", "expected"), [(0, False), (1, True), (2, True), (3, False)])
def test_one_matrix_is_what_loops_find(seed, expected):
    rng = np.random.default_rng(seed)
    pwm = rng.dirichlet([0.2] * 4, size=9).T
    alike = np.clip(pwm[:, rng.integers(3) :] + rng.normal(0, 0.1, size=4)[:, None], 0.01, None)
    other = alike if seed % 2 else alike[::-1, ::-1]
    X, (one, two) = standing([pwm, other / other.sum(axis=0)], n=25, seed=seed)
    offset, strand, is_one = one_matrix_by_loops(one, two, X)
    assert is_one == expected
    how = one_matrix(one, two, X)
    assert how == ((1.0, offset, strand) if is_one else None)


DONOR = np.array(
    [  # A C G T in percent at the nine positions of a human donor; rounded, after Shapiro and Senapathy 1987
        [32, 60, 9, 0, 0, 59, 71, 7, 16],
        [37, 13, 4, 0, 0, 3, 9, 5, 16],
        [19, 12, 79, 100, 0, 35, 12, 82, 18],
        [12, 15, 8, 0, 100, 3, 8, 6, 50],
    ]
)


def test_parts_of_a_weak_motif_are_one_and_reach_from_its_first_to_its_last_informative_base():
    """What clustering makes of a splice donor: GTRAG from most, AGGTA from some, and nothing of its edges."""
    rng = np.random.default_rng(3)
    n = 160
    codes = rng.integers(4, size=(n, 80), dtype=np.uint8)
    at = rng.integers(30, 40, size=n)
    for i in range(n):
        codes[i, at[i] : at[i] + 9] = [rng.choice(4, p=column / column.sum()) for column in DONOR.T]
    X = codes_to_one_hot(codes)

    def part(name, rows, first, last):
        pieces = np.stack([X[i, :, at[i] + first : at[i] + last] for i in rows])
        pwm = pieces.mean(axis=0) + 1e-6
        table = pd.DataFrame(
            {
                "motif": name,
                "sequence": rows,
                "start": at[rows] + first,
                "end": at[rows] + last,
                "strand": "+",
            }
        )
        return FoundMotif(name, pwm / pwm.sum(axis=0), pwm, table)

    parts = [part("positive_0", np.arange(110), 3, 8), part("positive_1", np.arange(110, n), 1, 6)]
    assert overlay(parts[0].pwm, parts[1].pwm).similarity < 0.85  # the matrices alone would not tell
    merged = [bounded(one, X, X) for one in merge_alike([bounded(one, X, X) for one in parts], X, X)]
    assert [len(one.instances) for one in merged] == [n]
    starts = merged[0].instances["start"].to_numpy() - at
    assert len(set(starts)) == 1
    # The first and the last column hold 0.1 and 0.2 bits: it may end at them or one before.
    assert starts[0] in (0, 1)
    assert starts[0] + merged[0].width in (8, 9)


def test_the_ends_of_a_motif_that_say_nothing_are_cut_off():
    codes, minus, at = planted()
    X = codes_to_one_hot(codes)
    table = pd.DataFrame(
        {
            "motif": "positive_0",
            "sequence": range(60),
            "start": at - 4,
            "end": at + 13,
            "strand": np.where(minus, "-", "+"),
        }
    )
    wide = np.full((4, 17), 0.25)
    found = bounded(FoundMotif("positive_0", wide, wide, table), X, X)
    np.testing.assert_array_equal(found.instances["start"], at)
    np.testing.assert_allclose(found.pwm, letters(WORD), atol=1e-5)


@pytest.mark.parametrize("name", ["GATA1", "TAL1", "YY1"])
def test_few_instances_show_a_motif_within_two_columns(name):
    preset = gp.load_spec("koo2021_fixed" if name == "YY1" else "tal_gata")
    pwm = preset.motifs[name].motif.pwm
    bits = 2 + (pwm * np.log2(np.maximum(pwm, 1e-12))).sum(axis=0)
    said = np.flatnonzero(bits >= 0.1)
    strong = np.flatnonzero(bits >= 1)
    off = []
    for seed in range(30):
        X, (motif,) = standing([pwm], n=25, length=80, seed=seed)
        table = motif.instances
        core = table.assign(start=table["start"] + strong[0], end=table["start"] + strong[-1] + 1)
        width = bounded(counted_anew(FoundMotif("positive_0", pwm, pwm, core), X, X), X, X).width
        off.append(width - (said[-1] - said[0] + 1))
    assert np.mean(np.abs(off) <= 2) >= 0.8


def compensating(n=40, of=2, seed=8):
    """Donors strong before GT, and donors strong behind it, n each of `of` times as many; two motifs."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(4, size=(of * n, 60), dtype=np.uint8)
    share = DONOR / DONOR.sum(axis=0)
    drawn = np.stack([rng.choice(4, size=of * n, p=column) for column in share.T], axis=1).astype(np.uint8)
    codes[:, 25:34] = drawn
    each = np.log2(share + 1e-3)[drawn, np.arange(9)]
    order = np.argsort(each[:, 5:].sum(axis=1) - each[:, :3].sum(axis=1), kind="stable")
    parts = [found(codes, "positive_0", order[:n], np.full(n, 25), np.full(n, 31))]
    parts += [found(codes, "positive_1", order[-n:], np.full(n, 27), np.full(n, 34))]
    return codes_to_one_hot(codes), parts


def test_forms_that_compensate_are_one():
    X, parts = compensating()
    assert overlay(parts[0].pwm, parts[1].pwm).similarity < 0.85
    assert one_matrix(*parts, X) == (1.0, 2, "+")
    assert one_matrix(*parts[::-1], X) == (1.0, -2, "+")


@pytest.mark.parametrize(("of_second", "motifs"), [((25, 34), 1), ((25, 28), 2)], ids=["same", "other"])
def test_extreme_forms_are_one_where_their_relevance_is_on_the_same_bases(of_second, motifs):
    X, parts = compensating(30, 5, seed=1)
    scores = np.zeros_like(X)
    scores[:, :, 25:34] = X[:, :, 25:34]
    rows = parts[1].instances["sequence"].to_numpy()
    scores[rows] = 0
    scores[rows, :, slice(*of_second)] = X[rows, :, slice(*of_second)]
    assert one_matrix(*parts, X) is None  # the matrix alone leaves it open
    assert one_matrix(*parts, X, loss=MORE_LOSS) == (1.0, 2, "+")
    assert len(merge_alike(parts, X, scores)) == motifs


@pytest.mark.parametrize(("directed", "motifs"), [(True, 3), (False, 2)])
def test_where_sequences_have_a_direction_no_form_is_turned_round(directed, motifs):
    """The second half of the donors stands the other way round; whether a third motif has a direction tells why."""
    X, parts = compensating()
    rows = parts[1].instances["sequence"].to_numpy()
    X[rows] = X[rows][:, ::-1, ::-1]
    table = parts[1].instances.assign(start=60 - parts[1].instances["end"], strand="-")
    parts[1] = replace(parts[1], instances=table.assign(end=60 - parts[1].instances["start"]))
    other = letters("CACGTTTTC")
    where = pd.DataFrame({"motif": "positive_2", "sequence": range(40), "start": 5, "end": 14, "strand": "+"})
    where.loc[::2, "strand"] = "+" if directed else "-"
    for i, strand in enumerate(where["strand"]):
        X[i, :, 5:14] = (other if strand == "+" else other[::-1, ::-1]) > 0.5
    assert one_matrix(*parts, X) is not None
    parts.append(FoundMotif("positive_2", other, other, where))
    assert len(merge_alike(parts, X, X)) == motifs


@pytest.mark.parametrize("seed", range(8))
def test_where_relevance_lies_is_compared_over_all_columns_of_both(seed):
    rng = np.random.default_rng(seed)
    length, base = 50, rng.normal(size=(4, 50))
    parts = []
    for k, width in enumerate(rng.integers(5, 10, size=2)):
        where = pd.DataFrame({"sequence": np.arange(6) + 6 * k, "start": rng.integers(15, 17, size=6)})
        where = where.assign(end=where["start"] + width, strand=rng.choice(["+", "-"], size=6))
        parts.append(FoundMotif(f"positive_{k}", np.eye(4), np.eye(4), where))
    scores = base + base[::-1, ::-1] + 0.3 * rng.normal(size=(12, 4, length))
    scores += 2 * (seed % 2)  # every second time something that all columns have
    how = Overlay(1.0, int(rng.integers(-3, 4)), str(rng.choice(["+", "-"])))

    def at(motif, column):
        """Mean relevance of A, C, G, T in a column along the motif, which may lie outside of it."""
        total = np.zeros(4)
        for row, start, end, strand in motif.instances.to_numpy():
            total += scores[row, :, start + column] if strand == "+" else scores[row, ::-1, end - 1 - column]
        return total / len(motif.instances)

    w, v = (int(one.instances["end"][0] - one.instances["start"][0]) for one in parts)
    dot = first = second = 0.0
    for column in range(min(0, how.offset), max(w, how.offset + v)):
        f, along = at(parts[0], column), column - how.offset
        g = at(parts[1], along) if how.strand == "+" else at(parts[1], v - 1 - along)[::-1]
        dot, first, second = dot + f @ g, first + f @ f, second + g @ g
    parts = [
        FoundMotif(one.name, np.full((4, width), 0.25), np.zeros((4, width)), one.instances)
        for one, width in zip(parts, (w, v), strict=True)
    ]
    assert used_alike(*parts, how, scores) == (dot >= SAME_USE * np.sqrt(first * second))

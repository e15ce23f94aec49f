import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoplrp.errors import SpecError
from genoplrp.synthetic import Count, Position, Spacing
from genoplrp.synthetic.distributions import draw_from, normal_numbers


def poisson(mean: float, k: int) -> float:
    return math.exp(-mean) * mean**k / math.factorial(k)


@given(st.floats(0.1, 8), st.integers(0, 3), st.integers(3, 9), st.floats(0, 0.9))
def test_a_truncated_inflated_poisson_has_the_probabilities_of_its_formula(
    mean: float, low: int, high: int, zero: float
) -> None:
    values, p = Count(kind="poisson", mean=mean, min=low, max=high, zero=zero).pmf()
    mass = sum(poisson(mean, k) for k in range(low, high + 1))
    expected = {k: (1 - zero) * poisson(mean, k) / mass for k in range(low, high + 1)}
    expected[0] = expected.get(0, 0) + zero
    found = {k: sum(q for v, q in zip(values, p, strict=True) if v == k) for k in set(values.tolist())}
    for k, q in expected.items():
        assert found.get(k, 0) == pytest.approx(q, abs=1e-9)


def test_drawn_numbers_have_their_probabilities() -> None:
    rng = np.random.default_rng(0)
    values, p = np.array([3, 5, 9]), np.array([0.2, 0.5, 0.3])
    drawn = draw_from(rng, 100_000, values, p)
    for value, q in zip(values, p, strict=True):
        assert (drawn == value).mean() == pytest.approx(q, abs=5 * math.sqrt(q * (1 - q) / 100_000))


def test_normal_numbers_have_mean_0_variance_1_and_no_skew() -> None:
    x = normal_numbers(np.random.default_rng(1), 200_000)
    assert np.isfinite(x).all()
    assert abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01
    assert abs((x**3).mean()) < 0.04 and abs((x**4).mean() - 3) < 0.1


def test_periodic_gaps_lie_on_the_same_face_of_the_helix() -> None:
    spacing = Spacing(kind="periodic", low=0, high=60, period=10.5, offset=4)
    turns = (spacing.allowed() - 4) / 10.5
    assert np.abs(turns - np.round(turns)).max() <= 0.5 / 10.5 + 1e-9
    other = (spacing.forbidden() - 4) / 10.5
    assert np.abs(other - np.round(other)).min() >= 0.25 - 1e-9


@pytest.mark.parametrize(
    "spacing",
    [
        Spacing(value=3),
        Spacing(kind="range", low=2, high=7),
        Spacing(kind="choice", values=(1, 8)),
        Spacing(kind="periodic", low=0, high=40),
    ],
)
def test_forbidden_gaps_are_never_allowed_ones(spacing: Spacing) -> None:
    assert len(spacing.forbidden()) > 0
    assert not set(spacing.forbidden().tolist()) & set(spacing.allowed().tolist())


def test_positions_are_where_they_should_be() -> None:
    rng = np.random.default_rng(0)
    widths, lengths = np.full(20_000, 10), np.full(20_000, 200)
    assert (Position().draw(rng, widths, lengths) == -1).all()
    assert (Position(kind="fixed", start=7).draw(rng, widths, lengths) == 7).all()
    assert (Position(kind="central").draw(rng, widths, lengths) == 95).all()
    normal = Position(kind="normal", mean=60, sd=8).draw(rng, widths, lengths)
    assert normal.mean() + 5 == pytest.approx(60, abs=0.3) and normal.std() == pytest.approx(8, abs=0.2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Count(kind="poisson"), "mean is 0"),
        (lambda: Count(kind="uniform", low=3, high=1), "low is 3"),
        (lambda: Count(value=-1), "value is -1"),
        (lambda: Count(kind="choice", values=(1, 2), p=(0.5, 0.4)), "sum to 1"),
        (lambda: Count(kind="choice", values=(1, 1)), "repeat"),
        (lambda: Count(value=2, max=1), "leave no number"),
        (lambda: Count(zero=2), "probability"),
        (lambda: Spacing(value=-1), "at least 0"),
        (lambda: Spacing(kind="periodic", low=0, high=5, offset=7), "no gap"),
        (lambda: Spacing(kind="range", low=1, high=2, p=(0.5, 0.5)), "which only a choice has"),
        (lambda: Spacing(kind="choice", values=(1, 2), p=(0.5, 0.4)), "sum to 1"),
        (lambda: Position(kind="normal"), "sd is 0"),
        (lambda: Position(kind="inside"), "width is 0"),
        (lambda: Position(kind="fixed", start=-2), "start is -2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecError, match=words):
        make()


@pytest.mark.parametrize("kind", ["inside", "outside"])
@pytest.mark.parametrize(("length", "width", "unit"), [(30, 10, 4), (31, 10, 4), (30, 11, 1), (9, 4, 2)])
def test_places_inside_and_outside_the_middle_are_equally_likely(
    kind: str, length: int, width: int, unit: int
) -> None:
    low, high = (length - width) / 2, (length + width) / 2
    starts = range(length - unit + 1)
    inside = {start for start in starts if low <= start and start + unit <= high}
    outside = {start for start in starts if start + unit <= low or high <= start}
    expected = inside if kind == "inside" else outside
    position = Position(kind=kind, width=width)  # type: ignore[arg-type]
    drawn = position.draw(np.random.default_rng(0), np.full(20_000, unit), np.full(20_000, length))
    seen = np.bincount(drawn, minlength=length)
    assert set(np.flatnonzero(seen)) == expected
    share = 1 / len(expected)
    assert (
        np.abs(seen[list(expected)] - 20_000 * share).max() < 5 * math.sqrt(20_000 * share * (1 - share)) + 1
    )


def test_a_place_that_does_not_exist_is_none() -> None:
    for kind, width in (("inside", 3), ("outside", 28)):
        drawn = Position(kind=kind, width=width).draw(np.random.default_rng(0), np.array([4]), np.array([30]))  # type: ignore[arg-type]
        assert drawn[0] > 10**9


def test_gaps_of_a_choice_have_their_probabilities_in_any_order() -> None:
    spacing = Spacing(kind="choice", values=(9, 2, 5), p=(0.1, 0.6, 0.3))
    assert spacing.allowed().tolist() == [2, 5, 9]
    np.testing.assert_allclose(spacing.shares(), [0.6, 0.3, 0.1])
    np.testing.assert_allclose(Spacing(kind="range", low=2, high=5).shares(), 0.25)

from __future__ import annotations

import itertools
import math
import sys
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.relevance.pruning import prune
from genoplrp.relevance.pruning.prune import kept_inputs, prune_multipliers
from genoplrp.relevance.pruning.thresholds import POLICIES, Reference, cumulated_mass
from tests.oracles.oracle_pruning import kept_indices

SHARES = st.integers(0, 16).map(lambda k: Fraction(k, 16))
SMALL_INTEGERS = st.lists(st.integers(-6, 6), min_size=1, max_size=12)


@pytest.fixture(params=["reference", "compiled"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "reference":
        monkeypatch.setattr(prune, "_compiled", lambda: None)
    return str(request.param)


def keep_mask(r: Tensor, p_pos: float, p_neg: float, policy: str = "mass") -> Tensor:
    return kept_inputs(torch.ones_like(r), r, p_pos, p_neg, policy)[0] != 0


def pruned(relevance: list[float], p_pos: float, p_neg: float, policy: str = "mass") -> list[float]:
    r = torch.tensor([relevance], dtype=torch.float64)
    out, _ = prune_multipliers(torch.ones_like(r), r, p_pos, p_neg, rescale=False, policy=policy)
    return out[0].tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(values=SMALL_INTEGERS, p_pos=SHARES, p_neg=SHARES)
@settings(max_examples=150, deadline=None)
def test_kept_set_is_the_definitions(
    dtype: torch.dtype, values: list[int], p_pos: Fraction, p_neg: Fraction
) -> None:
    relevance = torch.tensor([values], dtype=dtype)
    expected = kept_indices(values, p_pos, p_neg)
    out = torch.empty_like(relevance)
    shares = (torch.tensor([float(p)], dtype=torch.float64) for p in (p_pos, p_neg))
    Reference.inputs(torch.ones_like(relevance), relevance, *shares, "mass", out)
    assert set(out[0].nonzero()[:, 0].tolist()) == expected
    compiled = keep_mask(relevance, float(p_pos), float(p_neg))
    assert set(compiled[0].nonzero()[:, 0].tolist()) == expected


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
@pytest.mark.parametrize("policy", ["mass", "mean", "effective"])
def test_kept_inputs_are_those_whose_relevance_is_kept(implementation: str, policy: str, layout: str) -> None:
    random = torch.Generator().manual_seed(3)
    x = torch.randn(3, 5, 7, generator=random).relu()
    g = torch.randn(3, 5, 7, generator=random)
    if layout == "channels-last":
        x = x.transpose(1, 2).contiguous().transpose(1, 2)
    before = x.clone()
    kept, stats = kept_inputs(x, g, 0.3, 0.2, policy)
    expected = keep_mask(x * g, 0.3, 0.2, policy)
    assert not expected.all()
    assert torch.equal(kept, torch.where(expected, x, 0))
    assert torch.equal(x, before)
    relevance = (x * g).flatten(1)
    assert torch.equal(stats.n_positive, (relevance > 0).sum(dim=1))
    assert torch.equal(stats.n_negative_kept, ((relevance < 0) & expected.flatten(1)).sum(dim=1))


def test_ties_are_pruned_together_only_if_all_fit(implementation: str) -> None:
    assert pruned([1, 1, 1, 7], 0.25, 0) == [1, 1, 1, 7]  # two of the three would fit
    assert pruned([1, 1, 1, 7], 0.3, 0) == [0, 0, 0, 7]


def test_signs_are_pruned_apart(implementation: str) -> None:
    assert pruned([1, 9, -1, -9], 0.1, 0.0) == [0, 9, -1, -9]
    assert pruned([1, 9, -1, -9], 0.0, 0.1) == [1, 9, 0, -9]


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0], [-3.0], [0.0, 1e-45]])
def test_the_largest_entries_stay_even_at_p_one(implementation: str, values: list[float]) -> None:
    assert pruned(values, 1.0, 1.0) == values


def test_mean_policy_prunes_below_the_mean_over_all_entries_zeros_included(implementation: str) -> None:
    # Positive mass 12 over 6 entries: the mean is 2. Negative mass 6: the mean is 1.
    assert pruned([1.9, 2.0, 8.1, 0.0, -5.5, -0.5], 0.9, 0.9, "mean") == [0, 2.0, 8.1, 0, -5.5, 0]


def test_effective_policy_keeps_the_effective_number_and_its_ties(implementation: str) -> None:
    # (sum r)^2 / sum r^2: 10^2 / 34 = 2.9 -> 3 of 4 entries; the fourth ties with the third.
    assert pruned([4, 4, 1, 1], 0, 0, "effective") == [4, 4, 1, 1]
    # 11^2 / 101 = 1.2 -> 1.
    assert pruned([10, 1], 0, 0, "effective") == [10, 0]


@pytest.mark.parametrize("power", [-600, 600])  # the squares leave the range of float64
def test_effective_policy_does_not_depend_on_the_scale(implementation: str, power: int) -> None:
    unit = 2.0**power
    assert pruned([10 * unit, unit], 0, 0, "effective") == [10 * unit, 0]
    assert pruned([4 * unit, 4 * unit, unit / 8], 0, 0, "effective") == [4 * unit, 4 * unit, 0]


def test_lambda_conserves_the_mass_of_each_sign(implementation: str) -> None:
    a, g = torch.rand(5, 8, 30), torch.randn(5, 8, 30)
    out, stats = prune_multipliers(a, g, 0.3, 0.15)
    r = (a * out).double().flatten(1)
    torch.testing.assert_close(r.clamp(min=0).sum(1), stats.positive_mass, rtol=1e-6, atol=0)
    torch.testing.assert_close(-r.clamp(max=0).sum(1), stats.negative_mass, rtol=1e-6, atol=0)


def test_stats_describe_the_kept_set(implementation: str) -> None:
    a, g = torch.rand(4, 50), torch.randn(4, 50)
    out, stats = prune_multipliers(a, g, 0.4, 0.1, rescale=False)
    before, after = (a * g).double(), (a * out).double()
    for sign, mass, kept, n, n_kept in (
        (1, stats.positive_mass, stats.positive_kept, stats.n_positive, stats.n_positive_kept),
        (-1, stats.negative_mass, stats.negative_kept, stats.n_negative, stats.n_negative_kept),
    ):
        torch.testing.assert_close(mass, (sign * before).clamp(min=0).sum(1))
        torch.testing.assert_close(kept, (sign * after).clamp(min=0).sum(1))
        assert n.tolist() == (sign * before > 0).sum(1).tolist()
        assert n_kept.tolist() == (sign * after > 0).sum(1).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_p_zero_returns_the_multiplier_to_the_bit(implementation: str, dtype: torch.dtype) -> None:
    a = torch.randn(3, 4, 20).relu().to(dtype)
    g = torch.randn(3, 4, 20).to(dtype)
    out, _ = prune_multipliers(a, g, 0.0, 0.0)
    assert out.dtype == dtype
    assert torch.equal(out, g)


def test_multipliers_without_relevance_are_left_alone(implementation: str) -> None:
    a = torch.tensor([[0.0, 1.0, 4.0]])
    g = torch.tensor([[5.0, 1.0, 1.0]])
    out, _ = prune_multipliers(a, g, 0.2, 0.1)
    assert out.tolist() == [[5.0, 0.0, 1.25]]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_sample_is_pruned_as_if_it_were_alone(implementation: str, policy: str) -> None:
    random = torch.Generator().manual_seed(0)
    r = torch.randn(5, 40, generator=random, dtype=torch.float64) * torch.tensor(
        [[1e-9], [1.0], [1e3], [0.1], [0.0]]
    )
    r[3] = r[3].abs()
    multiplier, stats = prune_multipliers(torch.ones_like(r), r, 0.3, 0.2, policy=policy)
    for i in range(len(r)):
        one, alone = prune_multipliers(
            torch.ones(1, 40, dtype=r.dtype), r[i : i + 1], 0.3, 0.2, policy=policy
        )
        assert torch.equal(multiplier[i], one[0])
        assert [float(value[i]) for value in stats] == [float(value[0]) for value in alone]


def test_shares_may_differ_between_samples(implementation: str) -> None:
    r = torch.tensor([[1.0, 9.0], [1.0, 9.0]])
    p = torch.tensor([0.0, 0.1], dtype=torch.float64)
    assert keep_mask(r, p, p).tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "mixed", "transposed batch", "expanded"])
def test_memory_layout_does_not_matter(implementation: str, layout: str) -> None:
    a, g = torch.rand(4, 6, 10), torch.randn(4, 6, 10)
    if layout == "expanded":
        a = a[:, :1].expand(4, 6, 10)
    expected, _ = prune_multipliers(a.contiguous(), g, 0.3, 0.2)

    def last(t: Tensor) -> Tensor:
        return t.transpose(1, 2).contiguous().transpose(1, 2)

    if layout in ("channels last", "mixed"):
        g = last(g)
        a = a if layout == "mixed" else last(a)
    if layout == "transposed batch":
        g = g.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    out, _ = prune_multipliers(a, g, 0.3, 0.2)
    assert torch.equal(out, expected)
    assert torch.equal(keep_mask(a * g, 0.3, 0.2), (expected != 0) | (a * g == 0))


def test_in_place_writes_into_the_multiplier(implementation: str) -> None:
    a, g = torch.rand(4, 6, 10), torch.randn(4, 6, 10)
    expected, _ = prune_multipliers(a, g.clone(), 0.3, 0.2)
    out, _ = prune_multipliers(a, g, 0.3, 0.2, out=g)
    assert out is g
    assert torch.equal(g, expected)


def test_arguments_are_not_changed(implementation: str) -> None:
    a, g = torch.rand(4, 6, 10), torch.randn(4, 6, 10)
    before = a.clone(), g.clone()
    prune_multipliers(a, g, 0.3, 0.2)
    assert torch.equal(a, before[0])
    assert torch.equal(g, before[1])


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0), (0,)])
def test_empty_tensors_pass_through(implementation: str, shape: tuple[int, ...]) -> None:
    empty = torch.empty(shape)
    out, stats = prune_multipliers(empty, empty, 0.3, 0.2)
    assert out.shape == shape
    assert stats.positive_mass.tolist() == [0.0] * shape[0]
    assert keep_mask(empty, 0.3, 0.2).shape == shape


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("policy", POLICIES)
def test_non_finite_relevance_names_the_sample(
    implementation: str, bad: float, dtype: torch.dtype, policy: str
) -> None:
    r = torch.randn(4, 30, dtype=dtype)
    r[2, 7] = bad
    with pytest.raises(NonFiniteError, match="sample 2"):
        prune_multipliers(torch.ones_like(r), r, 0.3, 0.2, policy=policy)
    with pytest.raises(NonFiniteError, match="sample 2"):
        keep_mask(r, 0.3, 0.2, policy)


def test_a_mass_beyond_float64_is_an_error(implementation: str) -> None:
    r = torch.full((1, 3), 1.7e308, dtype=torch.float64)
    with pytest.raises(NonFiniteError, match="too large"):
        keep_mask(r, 0.3, 0.2)


@given(st.permutations(list(range(12))), st.sampled_from(POLICIES))
@settings(max_examples=40, deadline=None)
def test_kept_set_follows_a_permutation_to_the_bit(order: list[int], policy: str) -> None:
    r = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 12)) * np.logspace(-20, 20, 12))
    direct, stats = prune_multipliers(torch.ones_like(r), r, 0.3, 0.2, policy=policy)
    moved, moved_stats = prune_multipliers(torch.ones_like(r), r[:, order], 0.3, 0.2, policy=policy)
    assert torch.equal(moved, direct[:, order])
    assert all(torch.equal(x, y) for x, y in zip(stats, moved_stats, strict=True))


def test_more_is_pruned_as_p_grows(implementation: str) -> None:
    r = torch.randn(6, 200)
    kept = [keep_mask(r, p, p / 2) for p in np.linspace(0, 1, 21)]
    assert all(not (after & ~before).any() for before, after in itertools.pairwise(kept))
    assert kept[-1].sum() < kept[0].sum()


def mass_by_definition(ascending: list[float], smallest: int) -> list[float]:
    """Groups of eight binades, from that of the smallest normal number: exact sums, rounded once, then added up."""
    below, inside, last, found = 0.0, Fraction(0), 0, []
    for value in ascending:
        binade = max(math.frexp(value)[1] - 1, smallest) if value else smallest
        if (group := (binade - smallest) // 8) != last:
            below, inside, last = below + float(inside), Fraction(0), group
        inside += Fraction(value)
        found.append(below + float(inside))
    return found


@pytest.mark.parametrize(("dtype", "smallest"), [(torch.float32, -126), (torch.float64, -1022)])
def test_cumulated_mass_is_that_of_the_definition_to_the_bit(dtype: torch.dtype, smallest: int) -> None:
    random = torch.Generator().manual_seed(0)
    rows = [torch.rand(300, generator=random, dtype=torch.float64) + 0.5 for _ in range(5)]
    lowest, count = smallest - (20 if dtype == torch.float32 else 40), torch.linspace(0, 1, 300)
    powers = [
        torch.linspace(smallest, 100, 300),  # nearly all that there is
        torch.linspace(lowest, smallest + 12, 300),  # subnormal numbers and the binades next to them
        torch.linspace(0, 7, 300),  # one group
        torch.linspace(0, 40, 300),
        torch.where(count < 0.3, -torch.inf, 3.0),  # zeros first
    ]
    values = torch.stack(
        [row * torch.pow(2.0, power.round().double()) for row, power in zip(rows, powers, strict=True)]
    )
    ascending = values.to(dtype).sort(dim=1).values
    expected = [mass_by_definition(row, smallest) for row in ascending.double().tolist()]
    assert cumulated_mass(ascending).tolist() == expected


def test_cumulated_mass_is_the_sum(implementation: str) -> None:
    for dtype in (torch.float32, torch.float64):
        s = torch.randn(4, 100).exp().to(dtype).sort(1).values
        torch.testing.assert_close(cumulated_mass(s), s.double().cumsum(1), rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_pos": 1.5}, "p_pos=1.5"),
        ({"p_pos": float("nan")}, "p_pos=nan"),
        ({"p_neg": torch.tensor([0.1, 0.2, 0.3])}, "one for each of the 2 samples"),
        ({"p_neg": torch.tensor([0.1, -0.2])}, "p_neg holds -0.2"),
        ({"policy": "median"}, "'median'"),
        ({"activation": torch.ones(2, 4)}, "same shape"),
        ({"activation": torch.ones(2, 3, dtype=torch.float64)}, "same shape"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, object], message: str) -> None:
    arguments = {
        "activation": torch.ones(2, 3),
        "multiplier": torch.ones(2, 3),
        "p_pos": 0.1,
        "p_neg": 0.1,
    } | change
    with pytest.raises(InputError, match=message):
        prune_multipliers(**arguments)  # type: ignore[arg-type]


def test_without_numba_the_reference_runs_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    r = torch.randn(3, 50)
    expected = keep_mask(r, 0.3, 0.2)
    prune._compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "genoplrp.relevance.pruning.kernel", None)
    try:
        with pytest.warns(UserWarning, match="numba is missing"):
            assert torch.equal(keep_mask(r, 0.3, 0.2), expected)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            keep_mask(r, 0.3, 0.2)
    finally:
        prune._compiled.cache_clear()

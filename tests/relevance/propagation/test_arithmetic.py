"""The compiled loops against the torch forms that define them, and the latter against sums written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from genoplrp.relevance.propagation import arithmetic
from genoplrp.relevance.propagation.arithmetic import (
    Outputs,
    renormalised,
    renormalised_sides,
    sum_where_kept,
)

CAP = 10.0


@pytest.fixture(params=["torch", "compiled"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(arithmetic, "_kernel", lambda: None)
    return str(request.param)


def laid_out(x: Tensor, layout: str) -> Tensor:
    return x.transpose(1, 2).contiguous().transpose(1, 2) if layout == "channels-last" else x


def columns(layout: str) -> dict[str, Tensor]:
    """A convolution of width 1: three inputs, five outputs, four sequences of seven positions."""
    random = torch.Generator().manual_seed(0)
    x = torch.rand(4, 3, 7, generator=random, dtype=torch.float64)
    w = torch.randn(5, 3, generator=random, dtype=torch.float64)
    bias = torch.randn(5, generator=random, dtype=torch.float64)
    kept = x * (torch.rand(4, 3, 7, generator=random) < 0.5)

    def made(values: Tensor, weight: Tensor) -> Tensor:
        return laid_out(torch.einsum("fc,ncl->nfl", weight, values), layout)

    up, down = w.clamp(min=0), w.clamp(max=0)
    return {
        "h": laid_out(torch.randn(4, 5, 7, generator=random, dtype=torch.float64), layout),
        "z": laid_out(made(x, w) + bias[:, None], layout),
        "bias": bias,
        "up": made(x, up),
        "down": made(x, down),
        "kept up": made(kept, up),
        "kept down": made(kept, down),
    }


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (1.25, 1.0), (1.0, 1.5)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_the_negative_side_by_difference_is_the_negative_side(
    form: str, layout: str, scale: tuple[float, float], has_bias: bool
) -> None:
    c = columns(layout)
    z = c["z"] if has_bias else c["z"] - c["bias"][:, None]
    up, down = scale
    expected = [
        renormalised(c["h"], up * c["up"], (up * c["kept up"]).clone(), CAP),
        renormalised(c["h"], down * c["down"], (down * c["kept down"]).clone(), CAP),
    ]
    after = (up * c["kept up"]).clone(), (down * c["kept down"]).clone()
    got = renormalised_sides(
        c["h"], laid_out(z, layout), c["bias"] if has_bias else None, up * c["up"], after, scale, CAP
    )
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
def test_a_ratio_is_held_between_one_and_the_cap(form: str, layout: str) -> None:
    before = laid_out(torch.tensor([[[6.0, 6.0, 6.0, 6.0]]], dtype=torch.float64).repeat(2, 3, 1), layout)
    after = laid_out(torch.tensor([[[3.0, 0.1, 0.0, 6.1]]], dtype=torch.float64).repeat(2, 3, 1), layout)
    h = torch.full_like(before, 2.0)
    assert renormalised(h, before, after, CAP)[0, 0].tolist() == [4.0, 20.0, 0.0, 2.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("two", [True, False])
def test_a_sum_where_inputs_are_kept(form: str, dtype: torch.dtype, two: bool) -> None:
    x = torch.tensor([[0.0, 1.0, 2.0, 3.0]], dtype=dtype)
    kept = torch.tensor([[0.0, 0.0, 2.0, 3.0]], dtype=dtype)
    a, b = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=dtype), torch.full((1, 4), 10.0, dtype=dtype)
    expected = [11.0, 0.0, 13.0, 14.0] if two else [1.0, 0.0, 3.0, 4.0]
    assert sum_where_kept(a, b if two else None, kept, x)[0].tolist() == expected


@pytest.mark.parametrize("outputs", ["all", "positive", "negative"])
@pytest.mark.parametrize("epsilon, has_denominator", [(0.0, False), (0.1, False), (0.1, True)])
def test_the_form_for_cards_is_the_definition(outputs: str, epsilon: float, has_denominator: bool) -> None:
    pytest.importorskip("triton")
    from genoplrp.relevance.propagation import triton_arithmetic

    where = "cuda" if torch.cuda.is_available() else "cpu"
    random = torch.Generator().manual_seed(1)
    g, z, denominator = (torch.randn(3, 5, 400, generator=random) for _ in range(3))
    denominator[:, :, ::9] = 0
    divided = denominator if has_denominator else None
    expected, others = arithmetic.signal_reference(g, z, divided, epsilon, outputs, 0.7)
    h, flag = triton_arithmetic.signal(
        g.to(where),
        z.to(where),
        None if divided is None else divided.to(where),
        epsilon,
        {"all": 0, "positive": 1, "negative": -1}[outputs],
        0.7,
    )
    torch.testing.assert_close(h.cpu(), expected, rtol=3e-7, atol=0)  # float32: products in another order
    assert (False if flag is None else bool(flag)) == others


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
@pytest.mark.parametrize("has_bias", [True, False])
def test_the_forms_for_cards_renormalise_to_the_bit(
    monkeypatch: pytest.MonkeyPatch, layout: str, has_bias: bool
) -> None:
    pytest.importorskip("triton")
    from benchmarks.launches import as_a_card, counted

    where = "cuda" if torch.cuda.is_available() else "cpu"
    random = torch.Generator().manual_seed(2)
    h, total, before, up, down, x, kept = (
        laid_out(
            torch.randn(2, 3, 500, generator=random) * (torch.rand(2, 3, 500, generator=random) < 0.8), layout
        )
        for _ in range(7)
    )
    bias = torch.randn(3, generator=random).to(where) if has_bias else None

    def found() -> list[Tensor]:
        parts = [t.clone().to(where) for t in (h, total, before, up, down, x, kept)]
        sides = renormalised_sides(parts[0], parts[1], bias, parts[2], (parts[3], parts[4]), (1.25, 1.5), CAP)
        one = renormalised(parts[0], parts[2], up.clone().to(where), CAP)
        kept_sum = sum_where_kept(parts[0], parts[1] if has_bias else None, parts[6], parts[5])
        return [*sides, one, kept_sum]

    monkeypatch.setattr(arithmetic, "_kernel", lambda: None)
    with as_a_card(), counted() as count:
        on_card = found()
    assert count.triton == {"_rescale_sides": 1, "_rescale": 1, "_add_kept": 1}
    monkeypatch.setattr(arithmetic, "_triton", lambda: None)
    for one, other in zip(on_card, found(), strict=True):
        assert torch.equal(one, other)


def test_products_of_rows_on_a_card_are_those_of_float64() -> None:
    pytest.importorskip("triton")
    from genoplrp.relevance.propagation import triton_arithmetic

    where = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = (torch.randn(2, 20_000, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    found = triton_arithmetic.row_products(a.to(where), b.to(where)).sum(dim=1).cpu()
    torch.testing.assert_close(found, (a.double() * b.double()).sum(dim=1), rtol=1e-13, atol=1e-12)


ARRANGED: dict[str, Callable[[Tensor, int], Tensor]] = {
    "contiguous": lambda t, i: t,
    "channels last": lambda t, i: laid_out(t, "channels-last"),
    "one of each": lambda t, i: laid_out(t, ("contiguous", "channels-last")[i % 2]),
    "the other of each": lambda t, i: laid_out(t, ("channels-last", "contiguous")[i % 2]),
    "single precision": lambda t, i: t.float(),
    "half precision": lambda t, i: t.bfloat16(),
    "with gaps": lambda t, i: torch.stack([t, torch.full_like(t, -9)], dim=-1).flatten(-2)[..., ::2],
    "three of them with gaps": lambda t, i: ARRANGED["with gaps" if i < 3 else "contiguous"](t, i),
    "one with gaps": lambda t, i: ARRANGED["with gaps" if i == 0 else "contiguous"](t, i),
    "dense": lambda t, i: t.flatten(1),
    "dense, transposed": lambda t, i: t.flatten(1).T.contiguous().T,
    "a plane": lambda t, i: t[:, :, None].contiguous(memory_format=torch.channels_last),
    "a plane in order": lambda t, i: t[:, :, None].contiguous(),
    "one with gaps, others channels last": lambda t, i: ARRANGED["channels last" if i else "with gaps"](t, i),
    "two positions": lambda t, i: t[..., :2].contiguous(),
    "nothing": lambda t, i: t[:0],
}
"""How the i-th of several tensors of a call may lie; loops are compiled for some of these."""


def arranged(how: str, *tensors: Tensor) -> tuple[list[Tensor], list[Tensor], float]:
    """The tensors as they lie, the same in float64 in order, and a tolerance."""
    given = [ARRANGED[how](t.clone(), i) for i, t in enumerate(tensors)]
    tolerance = {"single": 1e-5, "half": 3e-2}.get(how.split()[0], 1e-12)
    return given, [t.double().clone(memory_format=torch.contiguous_format) for t in given], tolerance


def draws(n: int, *shape: int) -> list[Tensor]:
    """Numbers of either sign, a fifth of them 0."""
    random, size = torch.Generator().manual_seed(n), shape or (3, 4, 5)
    values = [torch.randn(size, generator=random, dtype=torch.float64) for _ in range(n)]
    return [t * (torch.rand(size, generator=random) >= 0.2) for t in values]


@pytest.mark.parametrize("how", ARRANGED)
@pytest.mark.parametrize(
    ("epsilon", "own", "coefficient"),
    [(0.0, False, 2.0), (0.1, False, 1.0), (0.1, True, 0.5), (0.0, True, 1.0)],
)
def test_a_signal_is_its_formula_however_the_tensors_lie(
    form: str, how: str, epsilon: float, own: bool, coefficient: float
) -> None:
    outputs: tuple[Outputs, ...] = ("all", "positive", "negative")
    for which in outputs:
        (g, z, d), (G, Z, D), tolerance = arranged(how, *draws(3))
        h, others = arithmetic.signal(g, z, d if own else None, epsilon, which, coefficient)
        below = D if own else Z
        ratio = Z / torch.where(below < 0, below - epsilon, below + epsilon)
        at_zero = torch.zeros_like(ratio) if own or epsilon else torch.ones_like(ratio)
        chosen = {"all": Z == Z, "positive": Z >= 0, "negative": Z < 0}[which]
        expected = torch.where(chosen, coefficient * G * torch.where(below == 0, at_zero, ratio), 0 * G)
        torch.testing.assert_close(h.double(), expected, rtol=tolerance, atol=tolerance, check_stride=False)
        assert others == bool((~chosen & (G != 0)).any())
        assert torch.equal(g.double(), G) and torch.equal(z.double(), Z)


@pytest.mark.parametrize("outputs", ["positive", "negative"])
def test_others_are_outputs_of_the_other_sign_that_have_a_multiplier(form: str, outputs: Outputs) -> None:
    z = torch.tensor([[1.0, 2.0, -1.0]] if outputs == "positive" else [[-1.0, -2.0, 0.0]])
    for values, expected in (([3.0, 3.0, 0.0], False), ([0.0, 0.0, 1.0], True), ([0.0, 0.0, 0.0], False)):
        g = torch.tensor([values])
        for own in (False, True):
            assert arithmetic.signal(g, z, torch.ones_like(z) if own else None, 0.1, outputs)[1] is expected
            assert arithmetic.signal(g, z, torch.ones_like(z) if own else None, 0.1)[1] is False


@pytest.mark.parametrize("own", [False, True])
def test_an_output_of_zero_counts_as_positive(form: str, own: bool) -> None:
    z, g = torch.tensor([[1.0, 0.0, -0.0]]), torch.ones(1, 3)
    assert arithmetic.signal(g, z, torch.ones_like(z) if own else None, 0.1, "positive")[1] is False
    assert arithmetic.signal(g, z, torch.ones_like(z) if own else None, 0.1, "negative")[1] is True


def test_signals_longer_than_the_blocks_they_are_made_in(form: str) -> None:
    g, z = draws(2, 2, 3, 900)
    found, others = arithmetic.signal(g, z, None, 0.1, "positive", 0.5)
    torch.testing.assert_close(found, torch.where(z >= 0, 0.5 * g * z.abs() / (z.abs() + 0.1), 0 * g))
    assert others


def test_a_signal_takes_the_memory_that_it_may_have() -> None:
    g, z, d = (t.float() for t in draws(3))
    expected = arithmetic.signal(g, z, None, 0.1)[0]
    kept, spent = z.clone(), z.clone()
    assert arithmetic.signal(g, kept, None, 0.1)[0].data_ptr() != kept.data_ptr()
    found = arithmetic.signal(g, spent, None, 0.1, spent=True)[0]
    assert found.data_ptr() == spent.data_ptr() and torch.equal(found, expected)
    assert arithmetic.signal(g, z, d, 0.1)[0].data_ptr() == d.data_ptr()


@pytest.mark.parametrize("how", ARRANGED)
def test_columns_are_renormalised_however_the_tensors_lie(form: str, how: str) -> None:
    (h, before, after), (H, B, A), tolerance = arranged(how, *draws(3))
    ratio = torch.where(A == 0, torch.zeros_like(A), (B / A).clamp(1, CAP))
    found = renormalised(h, before, after, CAP)
    torch.testing.assert_close(found.double(), H * ratio, rtol=tolerance, atol=tolerance, check_stride=False)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("how", ARRANGED)
def test_both_sides_are_renormalised_however_the_tensors_lie(form: str, how: str, has_bias: bool) -> None:
    values = draws(5)
    values[2:4] = [t.abs() for t in values[2:4]]  # sums of positive sides
    values[4] = -values[4].abs()
    (h, total, before, up, down), (H, T, B, U, D), tolerance = arranged(how, *values)
    bias = torch.linspace(-1, 1, total.shape[1], dtype=total.dtype) if has_bias else None
    plain = T if bias is None else T - bias.double().reshape(-1, *[1] * (T.dim() - 2))
    below = (1.5 * (plain - B / 1.25)).clamp(max=0)
    expected = [
        H * torch.where(a == 0, torch.zeros_like(a), (b / a).clamp(1, CAP)) for b, a in ((B, U), (below, D))
    ]
    found = renormalised_sides(h, total, bias, before, (up, down), (1.25, 1.5), CAP)
    for one, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(
            one.double(), wanted, rtol=tolerance, atol=5 * tolerance, check_stride=False
        )


@pytest.mark.parametrize("two", [True, False])
@pytest.mark.parametrize("how", ARRANGED)
def test_a_sum_where_inputs_are_kept_however_the_tensors_lie(form: str, how: str, two: bool) -> None:
    values = draws(4)
    values[2] = values[3] * (values[2] > 0)
    (a, b, kept, x), (A, B, K, X), tolerance = arranged(how, *values)
    expected = torch.where((K != 0) | (X == 0), A + B if two else A, torch.zeros_like(A))
    found = sum_where_kept(a, b if two else None, kept, x)
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance, check_stride=False)


@pytest.mark.parametrize("how", ARRANGED)
def test_whether_an_entry_is_negative_however_the_tensor_lies(form: str, how: str) -> None:
    zero = torch.tensor(-0.0, dtype=torch.float64)
    for least in (zero, torch.tensor(-1e-30), torch.tensor(torch.nan)):
        (x,), *_ = arranged(how, torch.rand(2, 4, 5000, dtype=torch.float64) + 1)
        if x.numel():
            x[(-1,) * x.dim()] = least
        assert arithmetic.is_nonnegative(x) is (least is zero or x.numel() == 0)


@pytest.mark.parametrize("place", [0, 4095, 4096, 8191, 8192, 9999])
def test_a_negative_entry_is_found_wherever_it_is(form: str, place: int) -> None:
    x = torch.zeros(10_000)
    x[place] = -1
    assert arithmetic.is_nonnegative(x) is False


@pytest.mark.parametrize("how", ARRANGED)
def test_products_of_rows_are_summed_in_float64_or_left_to_others(form: str, how: str) -> None:
    (a, b), (A, B), _ = arranged(how, *draws(2, 3, 4, 25))
    found = arithmetic.row_products(a, b)
    left = (
        "half precision",
        "with gaps",
        "three of them with gaps",
        "dense, transposed",
        "a plane",
        "nothing",
    )
    is_compiled = form == "compiled" and how not in left
    assert (found is not None) is is_compiled
    if found is not None:
        torch.testing.assert_close(found, (A * B).flatten(1).sum(dim=1), rtol=1e-13, atol=1e-13)
    assert arithmetic.row_products(torch.ones(3), torch.ones(3)) is None

"""The compiled loops against the torch forms that define them, and the latter against sums written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genoplrp.relevance.propagation import arithmetic
from genoplrp.relevance.propagation.arithmetic import renormalised, renormalised_sides, sum_where_kept

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

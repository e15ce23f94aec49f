"""What holds for every network, input and p: conservation, independence of the batch, exactness at p = 0, extremes."""

import itertools
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.relevance import PRESETS, Epsilon, Explainer, Pruning, lrp, plrp

seeds = st.integers(0, 2**31)
shares = st.floats(0.0, 0.95)
LENGTH = 24


class Small(nn.Module):
    """A residual convolutional network of random width, kernel and dilation; half functional."""

    def __init__(self, seed, dtype=torch.float64):
        super().__init__()
        draw = np.random.default_rng(seed)
        width, kernel = int(draw.integers(2, 7)), int(draw.integers(1, 6))
        self.stem = nn.Conv1d(4, width, kernel, padding="same")
        self.norm = nn.BatchNorm1d(width)
        self.dilated = nn.Conv1d(width, width, 3, padding="same", dilation=int(draw.integers(1, 4)))
        self.hidden = nn.Linear(width * (LENGTH // 4), 5)
        self.out = nn.Linear(5, 3)
        self.to(dtype).eval()
        generator = torch.Generator().manual_seed(int(draw.integers(2**31)))
        for tensor in (*self.parameters(), self.norm.running_mean):
            tensor.data.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64))

    def forward(self, x):
        h = F.relu(self.norm(self.stem(x)))
        h = h + F.relu(self.dilated(h))
        h = F.max_pool1d(h, 4).flatten(1)
        return self.out(F.elu(self.hidden(h)))


def _one_hot(seed, n=4, dtype=torch.float64):
    bases = torch.randint(4, (n, LENGTH), generator=torch.Generator().manual_seed(seed))
    return torch.eye(4, dtype=dtype)[bases].mT.contiguous()


def _pruning(p, **settings_):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Pruning(p=p, **settings_)


@settings(max_examples=40)
@given(seed=seeds, p=shares, p_neg=shares, preset=st.sampled_from(list(PRESETS)), single=st.booleans())
def test_lambda_conserves_each_sign_in_every_layer(seed, p, p_neg, preset, single):
    dtype, tolerance = (torch.float32, 1e-5) if single else (torch.float64, 1e-10)
    explain = Explainer(Small(seed, dtype), preset, _pruning(p, p_neg=p_neg), keep_intermediate=True)
    e = explain(_one_hot(seed, dtype=dtype), seed % 3)
    pruned = e.layers[e.layers["place"] != "input"]
    assert len(pruned) == 4 * 3
    for name in ("dilated", "hidden", "out"):
        rows = pruned[pruned["layer"] == name]
        r = e.intermediate[name].double().flatten(1)
        for sign, column in ((1, "positive"), (-1, "negative")):
            mass = rows[f"{column}_mass"].to_numpy()
            after = (sign * r).clamp(min=0).sum(dim=1).numpy()
            np.testing.assert_allclose(after, mass, rtol=tolerance, atol=tolerance * (mass.max() + 1e-12))
            lam = rows[f"lambda_{column}"].to_numpy()
            kept_mass = rows[f"{column}_kept"].to_numpy()
            np.testing.assert_allclose(lam * kept_mass, mass, rtol=1e-12, atol=1e-300)
            share = p if sign == 1 else p_neg
            # At most the share asked for is pruned, unless the largest entry alone is all that is kept.
            assert (kept_mass >= (1 - share) * mass * (1 - 1e-12)).all() or share == 0
            assert (lam <= 1 / (1 - share) * (1 + 1e-9)).all()
    scale = np.maximum(pruned["positive_mass"], pruned["negative_mass"])
    assert (np.abs(pruned["pruning_loss"]) <= tolerance * scale + 1e-300).all()


@settings(max_examples=20)
@given(seed=seeds, p=shares, preset=st.sampled_from(list(PRESETS)), method=st.sampled_from(["lambda", "M"]))
def test_relevance_and_what_was_absorbed_add_up_to_the_output(seed, p, preset, method):
    e = Explainer(Small(seed), preset, _pruning(p, method=method))(_one_hot(seed), 1)
    assert e.check(1e-10).holds, e.check(1e-10)
    total = e.relevance.flatten(1).sum(dim=1) + torch.tensor(e.absorbed.to_numpy()).sum(dim=1)
    circulation = np.abs(e.layers[["relevance_in", "positive_mass", "negative_mass"]].to_numpy()).max()
    torch.testing.assert_close(total, e.prediction, rtol=0, atol=1e-10 * max(1.0, circulation))


@settings(max_examples=20)
@given(seed=seeds, p=shares, single=st.booleans(), size=st.integers(1, 7))
def test_a_map_does_not_depend_on_the_rest_of_the_batch(seed, p, single, size):
    dtype = torch.float32 if single else torch.float64
    model, X = Small(seed, dtype), _one_hot(seed, 6, dtype)
    X[2, :, 3:9] = 0.25  # a stretch of N
    whole = Explainer(model, pruning=_pruning(p))(X).relevance
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    shuffled = Explainer(model, pruning=_pruning(p))(X[order]).relevance
    parts = Explainer(model, pruning=_pruning(p), batch_size=size)(X).relevance
    # A kept set may flip where rounding moves an entry across its threshold: in double precision it does not here.
    if single:
        p = 0.0
        whole, shuffled, parts = (
            Explainer(model, batch_size=b)(x).relevance for b, x in ((64, X), (64, X[order]), (size, X))
        )
    tolerance = (
        {"rtol": 1e-4, "atol": 1e-4 * float(whole.abs().max())} if single else {"rtol": 1e-8, "atol": 1e-9}
    )
    torch.testing.assert_close(shuffled, whole[order], **tolerance)
    torch.testing.assert_close(parts, whole, **tolerance)


def test_a_sequence_that_is_not_dna_does_not_change_the_maps_of_the_others():
    model, X = Small(0), _one_hot(0)
    alone = Explainer(model)(X).relevance
    X[3] = torch.randn(X[3].shape, generator=torch.Generator().manual_seed(0), dtype=X.dtype)
    e = Explainer(model)(X)
    torch.testing.assert_close(e.relevance[:3], alone[:3], rtol=1e-9, atol=1e-12)
    assert any("one sequence at a time" in note for note in e.notes)


@settings(max_examples=15)
@given(
    seed=seeds,
    preset=st.sampled_from(list(PRESETS)),
    single=st.booleans(),
    method=st.sampled_from(["lambda", "M"]),
)
def test_p_zero_is_lrp_to_the_bit(seed, preset, single, method):
    dtype = torch.float32 if single else torch.float64
    model, X = Small(seed, dtype), _one_hot(seed, dtype=dtype)
    plain = lrp(model, X, 2, rules=preset)
    assert torch.equal(plrp(model, X, 2, p=0, rules=preset, method=method), plain)
    explain = Explainer(model, preset, _pruning(0.4))
    assert torch.equal(next(iter(explain.sweep(X, 2, p=[0.0])))[1].relevance, plain)


@settings(max_examples=15)
@given(seed=seeds, p=st.lists(shares, min_size=2, max_size=4))
def test_one_layer_keeps_no_more_entries_at_a_larger_p(seed, p):
    model, X = Small(seed), _one_hot(seed)
    counts, sets = [], []
    for value in sorted(p):
        e = Explainer(model, pruning=_pruning(value, layers=["out"]), keep_intermediate=["out"])(X)
        counts.append(e.layers.query("layer == 'out'")["entries_kept"].to_numpy())
        sets.append(e.intermediate["out"] != 0)
    assert all((a >= b).all() for a, b in itertools.pairwise(counts))
    assert all(bool((b <= a).all()) for a, b in itertools.pairwise(sets))


@settings(max_examples=10)
@given(seed=seeds, target=st.integers(0, 2))
def test_a_sweep_equals_one_call_for_each_p(seed, target):
    model, X = Small(seed), _one_hot(seed)
    values = [0.0, 0.1, 0.5, 0.9]
    for p, e in Explainer(model, batch_size=3).sweep(X, target, p=values):
        one = Explainer(model, pruning=_pruning(p), batch_size=3)(X, target)
        assert torch.equal(e.relevance, one.relevance)
        assert e.layers.equals(one.layers)
        assert e.check(1e-10).holds


@settings(max_examples=10)
@given(seed=seeds, factor=st.sampled_from([1e-30, 1e-12, 1e12, 1e30]))
def test_scaling_the_output_scales_the_map(seed, factor):
    model, X = Small(seed), _one_hot(seed)
    before = Explainer(model, Epsilon(0.0), _pruning(0.2))(X).relevance
    model.out.weight.data *= factor
    model.out.bias.data *= factor
    after = Explainer(model, Epsilon(0.0), _pruning(0.2))(X).relevance
    torch.testing.assert_close(after / factor, before, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-40, 1e-20, 1e15])
@pytest.mark.parametrize("preset", PRESETS)
def test_very_small_and_very_large_values_stay_finite_and_conserved(preset, scale):
    model, X = Small(3, torch.float32), _one_hot(3, dtype=torch.float32)
    model.out.weight.data *= scale
    model.out.bias.data *= scale
    e = Explainer(model, preset, _pruning(0.3))(X)
    assert bool(torch.isfinite(e.relevance).all())
    assert e.check(1e-3).holds or scale == 1e-40, str(e.check())


def test_a_network_that_says_zero_gets_a_map_of_zeros():
    model, X = Small(1), _one_hot(1)
    for p in model.out.parameters():
        p.data.zero_()
    e = Explainer(model, pruning=_pruning(0.5))(X)
    assert bool((e.relevance == 0).all())
    assert e.check().holds
    assert (e.layers["kept_fraction"] <= 1).all()


def test_a_single_entry_of_relevance_is_never_pruned():
    model, X = Small(1), _one_hot(1)
    model.out.weight.data[0] = torch.tensor([0.0, 0.0, 2.0, 0.0, 0.0])
    e = Explainer(model, "epsilon", _pruning(0.95, layers=["out"]), keep_intermediate=["out"])(X)
    assert (e.layers.query("layer == 'out'")["entries_kept"] == 1).all()
    assert torch.equal(e.relevance, Explainer(model, "epsilon")(X).relevance)


def test_equal_entries_are_pruned_together_or_not_at_all():
    layer = nn.Linear(6, 1, bias=False).double()
    layer.weight.data = torch.tensor([[1.0, 1.0, 1.0, 1.0, 2.0, 4.0]], dtype=torch.float64)
    X = torch.ones(1, 6, dtype=torch.float64)
    for p, kept in ((0.39, 6), (0.4, 2), (0.59, 2), (0.6, 1), (0.95, 1)):
        e = Explainer(layer, Epsilon(0.0), _pruning(p, input=True))(X)
        assert int((e.relevance != 0).sum()) == kept, p
        assert float(e.relevance.sum()) == pytest.approx(10.0, rel=1e-14)


def test_an_overflow_is_an_error_that_names_the_sequence():
    model, X = Small(3, torch.float32), _one_hot(3, dtype=torch.float32)
    model.out.weight.data[:] = 3e38
    with pytest.raises(NonFiniteError, match="sequence 0"):
        Explainer(model)(X)


@settings(max_examples=10)
@given(seed=seeds)
def test_the_average_over_p_lies_between_its_maps_and_has_the_first_ones_mass(seed):
    model, X = Small(seed), _one_hot(seed)
    values = (0.0, 0.1, 0.2)
    e = Explainer(model).average(X, p=values)
    maps = [e.relevance for _, e in Explainer(model).sweep(X, p=values)]
    masses = [m.clamp(min=0).flatten(1).sum(dim=1)[:, None, None] for m in maps]
    if bool((torch.stack(masses) > 0).all()):
        expected = sum(m / mass for m, mass in zip(maps, masses, strict=True)) * masses[0] / 3
        torch.testing.assert_close(e.relevance, expected, rtol=1e-9, atol=1e-12)
    assert bool(torch.isfinite(e.relevance).all())


def test_an_average_over_p_says_that_it_has_no_ledger():
    model = Small(0, torch.float64)
    with pytest.raises(InputError, match=r"average over p.*sweep"):
        Explainer(model).average(_one_hot(0, 2, torch.float64)).check()


def test_the_average_of_maps_without_positive_relevance_is_finite():
    model = nn.Linear(3, 1, bias=False)
    model.weight.data = torch.tensor([[-1.0, -2.0, 0.0]])
    e = Explainer(model).average(torch.eye(3), p=(0.0, 0.1))
    assert e.relevance.flatten().tolist() == pytest.approx([-1.0, 0, 0, 0, -2.0, 0, 0, 0, 0], rel=1e-5)

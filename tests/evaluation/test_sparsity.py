from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genoplrp.evaluation.sparsity import effective_bases, entropy, gini, hoyer, zero_fraction
from tests.oracles.oracle_metrics_quantus import quantus

maps_of_any_kind = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.one_of(st.just(0.0), st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-6)),
)


def test_gini_and_entropy_equal_quantus():
    package = quantus()
    maps = np.abs(np.random.default_rng(0).normal(size=(20, 40)))
    x = np.zeros((1, 1, 40))
    arguments = {"disable_warnings": True, "normalise": False, "return_aggregate": False}
    for name, ours, factor in [("Sparseness", gini, 1.0), ("Complexity", entropy, np.log(2))]:
        metric = getattr(package, name)(abs=True, **arguments)
        theirs = [
            metric(model=None, x_batch=x, y_batch=np.zeros(1), a_batch=row[None, None].copy())[0]
            for row in maps
        ]
        # Quantus adds 1e-7 to every entry of the Gini index.
        np.testing.assert_allclose(ours(maps) * factor, theirs, rtol=1e-5)


def test_hoyer_by_hand():
    # 1-norm 7, 2-norm 5, four positions: (2 - 7/5) / (2 - 1).
    assert hoyer([[3.0, -4.0, 0.0, 0.0]])[0] == pytest.approx(0.6)


def test_entropy_by_hand():
    assert entropy([[0.5, 0.25, -0.25, 0.0]])[0] == pytest.approx(1.5)


def test_k_equal_positions_are_k_effective_bases():
    maps = np.triu(np.full((6, 6), -3.0))
    np.testing.assert_allclose(effective_bases(maps), [6, 5, 4, 3, 2, 1])
    np.testing.assert_allclose(entropy(maps), np.log2([6, 5, 4, 3, 2, 1]), atol=1e-12)
    np.testing.assert_allclose(zero_fraction(maps), np.arange(6) / 6)


@pytest.mark.parametrize("constant", [0.0, 1e-300, -2.0])
def test_a_constant_map_is_the_least_sparse_of_all(constant):
    maps = np.full((1, 16), constant)
    assert gini(maps)[0] == pytest.approx(0)
    assert hoyer(maps)[0] == pytest.approx(0)
    assert entropy(maps)[0] == pytest.approx(4)
    assert effective_bases(maps)[0] == pytest.approx(16)


@given(maps_of_any_kind)
@settings(max_examples=60, deadline=None)
def test_every_measure_stays_in_its_range(maps):
    length = maps.shape[1]
    tolerance = 1e-9
    for scores, low, high in [
        (gini(maps), 0, 1 - 1 / length),
        (hoyer(maps), 0, 1),
        (entropy(maps), 0, np.log2(length)),
        (effective_bases(maps), 1, length),
        (zero_fraction(maps), 0, 1),
    ]:
        assert (scores >= low - tolerance).all()
        assert (scores <= high + tolerance).all()


@given(maps_of_any_kind, st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_no_measure_depends_on_order_sign_or_scale(maps, seed):
    rng = np.random.default_rng(seed)
    other = rng.permutation(maps, axis=1) * rng.choice([-1.0, 1.0], size=maps.shape) * 2.0**-20
    for measure in (gini, hoyer, entropy, effective_bases, zero_fraction):
        np.testing.assert_allclose(measure(other), measure(maps), atol=1e-12)


def test_moving_mass_to_the_larger_entry_makes_every_measure_sparser():
    flat, steep = [[4.0, 3.0, 2.0, 1.0]], [[5.0, 3.0, 2.0, 0.0]]
    assert gini(steep) > gini(flat)
    assert hoyer(steep) > hoyer(flat)
    assert entropy(steep) < entropy(flat)
    assert effective_bases(steep) < effective_bases(flat)

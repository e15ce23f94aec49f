"""The compiled loops against the same thing in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genoplrp.synthetic import kernels


@given(
    arrays(
        np.float64,
        st.integers(0, 200),
        elements=st.sampled_from([0.0, 0.25, 0.5, 1 - 2**-53]) | st.floats(0, 1 - 2**-53),
    )
)
def test_uniform_numbers_are_ordered_as_by_a_stable_argsort(u: np.ndarray) -> None:
    assert kernels.order_uniform(u).tolist() == np.argsort(u, kind="stable").tolist()


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=60))
def test_instances_are_ordered_by_row_and_start_equal_ones_as_they_stand(
    places: list[tuple[int, int]],
) -> None:
    row, start = np.array(places, dtype=np.int64).reshape(-1, 2).T.copy()
    assert kernels.order_by_place(row, start, 7).tolist() == np.lexsort((start, row)).tolist()


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_word_holds_32_bases_the_lowest_bits_first(n: int) -> None:
    words = np.random.default_rng(n).integers(0, 2**64, n, dtype=np.uint64)
    bases = [(int(word) >> (2 * k)) & 3 for word in words for k in range(32)]
    assert kernels.spread_bases(words).astype("<u8").view(np.uint8).tolist() == bases


def test_planting_in_one_pass_is_drawing_and_then_writing() -> None:
    rng = np.random.default_rng(0)
    width = np.array([4, 7, 11])
    column = np.array([0, 4, 11])
    pwm = rng.dirichlet(np.ones(4), size=int(width.sum()))
    edges, odds = np.cumsum(pwm, axis=1)[:, :3].copy(), np.log2(pwm / 0.25)
    motif = rng.integers(0, 3, 500)
    row, start, minus = (
        np.arange(500) // 2,
        20 * (np.arange(500) % 2) + rng.integers(0, 9, 500),
        rng.random(500) < 0.5,
    )
    begin = np.cumsum(width[motif]) - width[motif]
    u = rng.random(int(width[motif].sum()))
    letters, scores = np.empty(len(u), dtype=np.uint8), np.empty(500)
    expected = np.full((250, 40), 9, dtype=np.uint8)
    kernels.sample_instances(motif, begin, column, width, edges, odds, u, letters, scores)
    kernels.write_instances(expected, row, start, width[motif], minus, begin, letters)
    codes, in_one = np.full((250, 40), 9, dtype=np.uint8), np.empty(500)
    kernels.plant_instances(codes, motif, minus, row, start, column, width, edges, odds, u, in_one)
    assert (codes == expected).all() and (in_one == scores).all()


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 12), st.randoms(use_true_random=False)
)
def test_free_units_take_slots_by_floyds_sampling_in_the_order_of_their_keys(widths, room, random) -> None:
    u = np.array([random.random() for _ in widths])
    keys = np.array([random.choice([0.1, 0.5, random.random()]) for _ in widths])
    taken: list[int] = []
    for k, number in enumerate(u):
        slot = int(number * (room + k + 1))
        taken.append(room + k if slot in taken else slot)
    expected, shift = np.zeros(len(widths), dtype=int), 0
    for place, (slot, unit) in enumerate(zip(sorted(taken), np.argsort(keys, kind="stable"), strict=True)):
        expected[unit] = slot - place + shift
        shift += widths[unit]
    units = np.array(widths)
    lengths = np.array([room + units.sum()])
    starts, failed = kernels.arrange(
        np.array([0, len(units)]), units, np.full(len(units), -1), lengths, u, keys
    )
    assert starts.tolist() == expected.tolist() and not failed[0]

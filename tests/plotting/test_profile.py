from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from genoplrp.errors import InputError
from genoplrp.plotting import mean_logo, plot_profile

LENGTHS = np.array([12, 20, 12, 9])


def padded() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(4, 20))
    return np.where(np.arange(20) < LENGTHS[:, None], values, 7.0)


def test_the_band_is_student_s_interval_of_the_sequences_that_have_the_position():
    values = padded()
    ax = plot_profile(values, Figure().subplots(), absolute=False, lengths=LENGTHS)
    mean = ax.lines[0].get_ydata()
    band = ax.collections[0].get_paths()[0].vertices
    for position, there in [(3, [0, 1, 2, 3]), (10, [0, 1, 2])]:
        assert mean[position] == pytest.approx(values[there, position].mean())
        interval = stats.ttest_1samp(values[there, position], 0).confidence_interval(0.95)
        at = band[np.abs(band[:, 0] - position) <= 0.5][:, 1]
        assert all(np.isclose(at, limit).any() for limit in interval)
    # One sequence is left, and says nothing of how sequences differ.
    assert mean[15] == values[1, 15]
    assert band[:, 0].max() < 12


def test_one_sequence_has_no_band():
    ax = plot_profile(padded()[:1], Figure().subplots())
    assert not len(ax.collections[0].get_paths())


def test_lines_of_their_own_lengths():
    maps = {"a": padded(), "b": np.ones((2, 20))}
    ax = plot_profile(maps, Figure().subplots(), lengths={"a": LENGTHS})
    assert ax.lines[0].get_ydata()[19] == abs(maps["a"][1, 19])
    assert (ax.lines[1].get_ydata() == 1).all()


def test_a_mean_logo_counts_the_sequences_that_have_the_position():
    relevance = np.repeat(padded()[:, None], 4, axis=1)
    mean = mean_logo(relevance, lengths=[12, 12, 12, 9])
    np.testing.assert_allclose(mean[:, 10], padded()[:3, 10].mean())
    assert (mean[:, 12:] == 0).all()
    np.testing.assert_allclose(mean_logo(relevance), relevance.mean(axis=0))


@pytest.mark.parametrize("lengths", [[12, 20, 12], [0, 20, 12, 9], [21, 20, 12, 9]])
def test_lengths_that_do_not_fit_are_refused(lengths):
    with pytest.raises(InputError, match="lengths must be 4 numbers from 1 to 20"):
        plot_profile(padded(), Figure().subplots(), lengths=lengths)

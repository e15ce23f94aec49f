from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from genoplrp.errors import InputError
from genoplrp.plotting import plot_filters, plot_heatmap, plot_ledger, plot_long, plot_overview


def test_the_overview_keeps_the_extremes_of_each_bin():
    values = np.zeros(1000)
    values[123], values[127], values[990] = 5.0, -3.0, 1.0
    ax = plot_overview(values, Figure().subplots(), bins=10)
    high, low = (patch.get_data() for patch in ax.patches)
    assert high.values.tolist() == [0, 5, 0, 0, 0, 0, 0, 0, 0, 1]
    assert low.values.tolist() == [0, -3, 0, 0, 0, 0, 0, 0, 0, 0]
    assert high.edges.tolist() == [100 * i - 0.5 for i in range(11)]


def test_the_overview_of_the_minus_strand_starts_at_the_windows_end():
    values = np.zeros(100)
    values[0] = 1.0
    ax = plot_overview(values, Figure().subplots(), start=500, strand="-", bins=100)
    data = ax.patches[0].get_data()
    assert data.edges[:2].tolist() == [499.5, 500.5]
    assert data.edges[np.flatnonzero(data.values)[0]] == 598.5
    assert ax.get_xlim()[0] > ax.get_xlim()[1]


def test_long_windows_are_zoomed_where_most_relevance_is():
    relevance = np.zeros((4, 3000))
    relevance[1, 2000:2010], relevance[2, 400:405], relevance[0, 1000] = -1.0, 1.0, 0.5
    axes = plot_long(relevance, zooms=2, width=40, figure=Figure())
    assert len(axes) == 3
    for ax, peak in zip(axes[1:], (402, 2005), strict=True):
        low, high = ax.get_xlim()
        assert high - low == 40
        assert low + 10 < peak < high - 10


def test_zooms_never_overlap_and_stop_where_nothing_is_left():
    relevance = np.zeros((4, 300))
    relevance[0, 150] = 1.0
    assert len(plot_long(relevance, zooms=5, width=50, figure=Figure())) == 2


def test_the_heat_map_is_centred_on_zero():
    ax = plot_heatmap(np.array([[0.0, 1.0], [0.0, -4.0]]), Figure().subplots(), limit=2)
    assert ax.images[0].get_clim() == (-2, 2)


def test_the_heat_map_orders_sequences_by_their_peak():
    values = np.zeros((3, 5))
    values[0, 4], values[1, 0], values[2, 2] = 1, -1, 1
    image = plot_heatmap(values, Figure().subplots(), sort=True).images[0].get_array()
    assert np.abs(image).argmax(axis=1).tolist() == [0, 2, 4]


def test_the_ledger_averages_each_sequences_share_and_skips_layers_without_relevance():
    layers = pd.DataFrame(
        {
            "layer": ["conv", "head"] * 2,
            "index": [0, 1] * 2,
            "entries": [10, 4, 10, 0],
            "entries_kept": [1, 2, 3, 0],
            "positive_mass": [2.0, 2.0, 4.0, 0.0],
            "positive_kept": [1.0, 2.0, 3.0, 0.0],
        }
    )
    ax = plot_ledger(layers, Figure().subplots())
    entries, mass = ([bar.get_width() for bar in container] for container in ax.containers)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["head", "conv"]
    assert entries == pytest.approx([0.5, 0.2])
    assert mass == pytest.approx([1.0, 0.625])


def test_filters_come_in_the_order_of_what_they_carried():
    axes = plot_filters([np.eye(4)] * 3, [1.0, -6.0, 3.0], names=["a", "b", "c"], most=2, figure=Figure())
    assert [ax.get_title(loc="left") for ax in axes] == ["b, −60 %", "c, 30 %"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_overview(np.zeros(0)), "no position"),
        (lambda: plot_overview(np.zeros(5), bins=0), "bins"),
        (lambda: plot_long(np.zeros((4, 9)), zooms=0), "zooms"),
        (lambda: plot_heatmap(np.zeros((2, 2)), limit=0), "limit"),
        (lambda: plot_ledger(pd.DataFrame({"layer": []})), "lacks the column"),
        (lambda: plot_filters([np.eye(4)], [1.0, 2.0]), "one number per filter"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()

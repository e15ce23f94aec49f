"""The registry of metrics: columns of one's own beside the package's, and where each is shown."""

import numpy as np
import pandas as pd
import pytest

from genoplrp.errors import InputError
from genoplrp.evaluation import METRICS, figures, register_metric, report, score
from genoplrp.evaluation.metrics import registered_metrics
from genoplrp.evaluation.scoring import chance_levels
from genoplrp.scores import SCORES, described, shown_in


@pytest.fixture
def sums():
    """A metric that gives away what it was handed: the sum of the map."""
    register_metric(
        "sum", lambda maps, masks: maps.sum(axis=1), better="lower", title="whole relevance", chance=0.25
    )
    yield
    del METRICS["sum"], SCORES["sum"]


@pytest.mark.usefixtures("sums")
def test_a_registered_metric_sees_each_sequence_without_its_padding():
    maps = np.array([[1.0, 2.0, 50.0], [1.0, 2.0, 3.0]])
    table = score(maps, maps < 10, lengths=[2, 3])
    assert table["sum"].tolist() == [3.0, 6.0]
    assert list(table.columns)[-1] == "sum"


@pytest.mark.usefixtures("sums")
def test_only_metrics_of_ones_own_are_sent_to_other_processes():
    assert set(registered_metrics()) == {"sum"}


def test_a_metric_of_the_package_is_not_replaced():
    for name in ("rma", "insertion"):
        with pytest.raises(InputError, match=f"'{name}' is a score of the package"):
            register_metric(name, lambda maps, masks: maps.sum(axis=1))


def test_better_is_one_way_or_the_other():
    with pytest.raises(InputError, match="better='more'"):
        register_metric("sum", lambda maps, masks: maps.sum(axis=1), better="more")
    assert "sum" not in METRICS


def test_every_metric_of_the_package_is_described():
    assert set(METRICS) <= set(SCORES)


@pytest.mark.usefixtures("sums")
def test_a_registered_metric_stands_in_the_tables_the_figures_and_the_comparison():
    summary = pd.DataFrame({"method": ["a", "b"], "metric": "sum", "mean": [0.7, 0.3]})
    timing = pd.DataFrame({"method": ["a", "b"], "seconds": [1.0, 1.0]})
    table = report.headline_table(summary, timing)
    assert "| sum |" in table
    assert "**0.300**" in table  # lower is better
    assert "**0.700**" not in table
    axes = figures.plot_methods(summary).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["sum ↓"]
    shade = np.asarray(axes.images[0].get_array())[:, 0]
    assert shade[0] < shade[1]
    assert all("sum" in shown_in(place) for place in ("comparison", "sweep", "report", "widget"))
    assert described("sum").title == "whole relevance"
    assert chance_levels(pd.Series({"sum": 0.0})).tolist() == [0.25]


def test_without_a_better_way_nothing_is_bold_and_nothing_compared():
    register_metric("sum", lambda maps, masks: maps.sum(axis=1))
    try:
        summary = pd.DataFrame({"method": ["a", "b"], "metric": "sum", "mean": [0.7, 0.3]})
        timing = pd.DataFrame({"method": ["a", "b"], "seconds": [1.0, 1.0]})
        assert "**" not in report.headline_table(summary, timing)
        assert "sum" not in shown_in("comparison")
    finally:
        del METRICS["sum"], SCORES["sum"]


def test_a_map_that_says_nothing_scores_the_chance_level():
    rng = np.random.default_rng(0)
    mask = np.zeros((2000, 60), dtype=bool)
    mask[:, 20:35] = True
    table = score(rng.normal(size=mask.shape), mask)
    chance = chance_levels(table.mean())
    for name in ("rma", "rma_absolute", "rra", "auroc"):
        assert abs(table[name].mean() - chance[name]) < 4 * table[name].sem(), name
    # Of a random order, average precision expects somewhat more than the prevalence.
    assert 0 < table["average_precision"].mean() - chance["average_precision"] < 0.06


@pytest.mark.parametrize("metric", [lambda maps, masks: 3.0, lambda maps, masks: maps])
def test_a_metric_that_gives_no_number_for_each_sequence_is_refused_by_name(metric):
    register_metric("odd", metric)
    try:
        with pytest.raises(InputError, match=r"the metric 'odd' returned shape .* for 2 sequences"):
            score(np.ones((2, 3)), np.eye(2, 3, dtype=bool))
    finally:
        METRICS.pop("odd")
        SCORES.pop("odd")


def test_chance_is_a_number_or_a_column():
    with pytest.raises(InputError, match="chance='luck'"):
        register_metric("odd", lambda maps, masks: maps.sum(axis=1), chance="luck")
    assert "odd" not in METRICS

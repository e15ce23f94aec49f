"""The registry of metrics: columns of one's own beside the package's."""

import numpy as np
import pytest

from genoplrp.errors import InputError
from genoplrp.evaluation import METRICS, register_metric, score
from genoplrp.evaluation.metrics import registered_metrics


@pytest.fixture
def sums():
    """A metric that gives away what it was handed: the sum of the map."""
    register_metric("sum", lambda maps, masks: maps.sum(axis=1))
    yield
    del METRICS["sum"]


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
    with pytest.raises(InputError, match="'rma' is a metric of the package"):
        register_metric("rma", lambda maps, masks: maps.sum(axis=1))

"""What the benchmarks of sites count, on sites whose overlap with planted ones is known."""

import numpy as np
import pytest

import genoplrp as gp
from benchmarks.motifs import counted, interval


@pytest.fixture(scope="module")
def data():
    return gp.simulate(gp.load_spec("tal_gata"), n=40, seed=3, progress=False)


@pytest.mark.parametrize(("share", "found"), [(0, True), (0.5, True), (0.6, False)])
def test_an_instance_is_found_from_half_on(data, share, found):
    planted = data.instances_of("TAL1").drop_duplicates("sequence")
    away = np.floor(share * (planted["end"] - planted["start"])).astype(int) + (not found)
    sites = planted.assign(start=planted["start"] - away, end=planted["end"] - away).query("start >= 0")
    counts = counted(sites, data, "TAL1")
    assert (counts.sites, counts.planted) == (len(sites), len(data.instances_of("TAL1")))
    assert counts.found == (len(sites) if found else 0)
    if found:
        assert counts.false == 0


def test_sites_on_another_tasks_motif_are_not_false_and_find_nothing(data):
    gata = data.instances_of("GATA1")
    counts = counted(gata, data, "TAL1")
    assert (counts.false, counts.found) == (0, 0)


def test_seeds_without_sites_leave_the_interval_as_it_is():
    assert interval([1, 3, 0], [10, 10, 0]) == interval([1, 3], [10, 10]) == "20.0 ± 127.1"
    assert interval([0, 0], [0, 0]) == "none"

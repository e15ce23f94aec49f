"""Settings of the whole suite: one thread a worker, so that parallel workers do not fight for cores."""

import gc
import os
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault(
        "TRITON_INTERPRET", "1"
    )  # no card: kernels run on the CPU (read where one is defined)
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

# The modules that take longest, most of it in processes of their own or in compiling what others will load.
LONGEST = (
    "test_motif_discovery.py",
    "test_documentation.py",
    "test_ray_engine.py",
    "test_report_browser.py",
    "test_benchmark.py",
)


def pytest_configure(config):
    import torch

    torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Long modules first, then by the number of tests: no worker is left with a long one when the others are done."""
    tests = Counter(item.path for item in items)

    def rank(item):
        name = item.path.name
        place = LONGEST.index(name) if name in LONGEST else len(LONGEST)
        return place, -tests[item.path], str(item.path)

    items.sort(key=rank)


def pytest_collection_finish():
    """What was imported stays: looking through it for garbage again and again takes a sixth of the suite's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    """Where a test computes: on the CPU, and on a card where there is one."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return request.param

"""Settings of the whole suite: one thread a worker, so that parallel workers do not fight for cores."""

import os
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


def pytest_configure(config):
    import torch

    torch.set_num_threads(1)


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    """Where a test computes: on the CPU, and on a card where there is one."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return request.param

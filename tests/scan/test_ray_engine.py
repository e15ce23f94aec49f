"""The Ray engine on a local cluster of two workers; skipped where Ray is not installed."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import GenoplrpError, InputError, NonFiniteError
from genoplrp.relevance import Pruning

pytest.importorskip("zarr")
pytest.importorskip("ray")
import ray

from genoplrp.scan import Sequences, scan
from genoplrp.scan import run as run_module
from genoplrp.scan.cluster import ATTEMPTS, IN_FLIGHT, explain_on_ray
from tests.scan.test_scan_store import digest, network, sequences

SMALL = {"batch_size": 4, "pruning": Pruning(0.25)}


class Traced(nn.Module):
    """A network that notes each process it is copied to, and may kill it or fail there, not where it was made."""

    def __init__(self, folder, *, kill=False, fail=0, nan=False):
        super().__init__()
        self.body, self.folder = network(), Path(folder)
        self.kill, self.fail, self.nan = kill, fail, nan
        self.home = os.getpid()

    def __setstate__(self, state):
        super().__setstate__(state)
        (self.folder / f"loaded.{os.getpid()}").open("a").write("x")

    def forward(self, x):
        if os.getpid() == self.home:
            return self.body(x) / (0.0 if self.nan else 1.0)
        if self.kill and (self.folder / "ran").exists():
            try:
                (self.folder / "killed").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        if len(list(self.folder.glob("failed.*"))) < self.fail:
            (self.folder / f"failed.{os.urandom(8).hex()}").touch()
            raise RuntimeError("the driver of the GPU is gone")
        (self.folder / "ran").touch()
        return self.body(x) / (0.0 if self.nan else 1.0)


@pytest.fixture(scope="module")
def cluster():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    yield
    ray.shutdown()
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(run_module, "ROWS_A_BLOCK", 8)


def test_two_workers_one_of_them_killed_give_the_bytes_of_one_process(cluster, tmp_path):
    (tmp_path / "ran").touch()
    (tmp_path / "killed").touch()
    whole = scan(Traced(tmp_path), sequences(n=100), tmp_path / "whole", **SMALL)
    (tmp_path / "ran").unlink()
    (tmp_path / "killed").unlink()
    model = Traced(tmp_path, kill=True)
    out = scan(model, sequences(n=100), tmp_path / "s", engine="ray", workers=2, **SMALL)
    assert digest(out) == digest(whole)
    assert (tmp_path / "killed").exists()
    loaded = list(tmp_path.glob("loaded.*"))
    assert len(loaded) == 3  # two, and the one in the dead one's place
    assert all(path.read_text() == "x" for path in loaded)  # thirteen blocks, one copy a process


def test_a_task_that_fails_is_tried_again_and_after_three_times_said(cluster, tmp_path):
    with pytest.raises(GenoplrpError, match=r"failed 3 times.*the driver of the GPU is gone"):
        model = Traced(tmp_path, fail=99)
        scan(model, sequences(n=8), tmp_path / "s", engine="ray", workers=1, **SMALL)
    failed = list(tmp_path.glob("failed.*"))
    assert len(failed) >= ATTEMPTS  # the engine may call a model that fails more than once
    model = Traced(tmp_path, fail=len(failed) + 1)
    out = scan(model, sequences(n=8), tmp_path / "s", engine="ray", workers=1, **SMALL)
    whole = scan(model, sequences(n=8), tmp_path / "whole", **SMALL)
    assert digest(out) == digest(whole)


def test_nan_is_not_tried_again_but_said_with_the_windows(cluster, tmp_path):
    with pytest.raises(NonFiniteError, match=r"windows \d+ to \d+ \(seq"):
        scan(Traced(tmp_path, nan=True), sequences(n=20), tmp_path / "s", engine="ray", workers=1, **SMALL)


def test_no_more_blocks_are_read_than_the_workers_can_hold(cluster, tmp_path):
    asked = []

    def read(number):
        asked.append(number)
        return run_module.Block(number, np.ones((4, 40), np.uint8), 4 * number, list("abcd"))

    task = run_module.Task(network(), 0, "gamma", None, 4, None, "per_nucleotide", False, "float32")
    finished = []
    for number, arrays in explain_on_ray(task, range(12), read, workers=1):
        finished.append(number)
        assert len(asked) - len(finished) < IN_FLIGHT + 1
        assert arrays["relevance"].shape == (4, 40)
    assert sorted(finished) == list(range(12))


def test_a_wrong_engine_or_number_of_workers_is_an_error(cluster, tmp_path):
    source = Sequences(np.ones((3, 40), np.uint8))
    for arguments, message in (
        ({"engine": "spark"}, "engine='spark'"),
        ({"workers": 2}, "for the Ray engine"),
        ({"engine": "ray", "workers": 0}, "workers=0"),
        ({"engine": "ray", "workers": 5}, "do not fit"),
    ):
        with pytest.raises(InputError, match=message):
            scan(network(), source, tmp_path / "s", batch_size=4, **arguments)

"""Several devices of one machine; the CPU stands in for them, as often as wanted."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from genoplrp.cli.main import cli
from genoplrp.errors import InputError, NonFiniteError

pytest.importorskip("zarr")
from genoplrp.scan import run as run_module
from genoplrp.scan import scan
from genoplrp.scan.devices import device_names
from tests.scan.test_scan_store import SMALL, digest, network, sequences


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(run_module, "ROWS_A_BLOCK", 8)


def test_devices_share_the_blocks_and_write_the_bytes_of_one(tmp_path):
    one = scan(network(), sequences(), tmp_path / "one", device="cpu", **SMALL)
    two = scan(network(), sequences(), tmp_path / "two", devices=["cpu", "cpu"], **SMALL)
    assert digest(one) == digest(two)


def test_a_device_of_each_kind_here_gives_the_same_values(tmp_path, device):
    from genoplrp.scan import ScanStore

    found = ScanStore(scan(network(), sequences(), tmp_path / "there", device=device, **SMALL))
    expected = ScanStore(scan(network(), sequences(), tmp_path / "here", device="cpu", **SMALL))
    rows = slice(None)
    np.testing.assert_allclose(found.per_nucleotide(rows), expected.per_nucleotide(rows), atol=1e-3)


def test_blocks_finished_before_one_that_fails_are_kept(tmp_path):
    source = sequences()
    bad = 20  # in the third block of eight

    class Fails(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x):
            y = self.net(x)
            is_bad = (x.argmax(1) == marked).all(dim=1) & (x.sum(1) > 0).eq(marked_there).all(dim=1)
            return torch.where(is_bad[:, None], torch.nan, y)

    X = torch.nn.functional.one_hot(torch.from_numpy(source.codes(bad, bad + 1)).long(), 5)[..., :4].mT
    marked, marked_there = X.argmax(1), X.sum(1) > 0
    with pytest.raises(NonFiniteError, match="windows 20 to 23"):
        scan(Fails(), source, tmp_path / "s", **SMALL)
    done = (tmp_path / "s.partial" / ".journal").read_text().split()
    assert done == ["0", "1"]


def test_an_interrupt_waits_for_one_batch_not_for_the_block(tmp_path, monkeypatch):
    """Ctrl-C while a block is written: blocks under way are given up at their next batch."""
    monkeypatch.setattr(run_module, "ROWS_A_BLOCK", 80)  # 20 batches a block
    batches, gate = [], threading.Event()
    kept = run_module.ScanWriter.write

    def write(self, number, arrays):
        kept(self, number, arrays)
        raise KeyboardInterrupt

    class Slow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x):
            batches.append(len(x))
            if len(batches) > 45:  # the first look, two blocks at once, some of the next
                gate.wait(0.1)
            return self.net(x)

    monkeypatch.setattr(run_module.ScanWriter, "write", write)
    with pytest.raises(KeyboardInterrupt):
        scan(Slow(), sequences(n=400), tmp_path / "s", devices=["cpu", "cpu"], **SMALL)
    assert len(batches) < 60
    assert not [t for t in threading.enumerate() if t.name.startswith("genoplrp-explain")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": ["cpu"], "device": "cpu"}, "leave out the single device"),
        ({"devices": ["cpu"], "engine": "ray"}, "leave out the single device"),
        ({"devices": []}, "name one"),
        ({"devices": ["gpu"]}, "PyTorch knows no device"),
        ({"devices": ["cuda:99"]}, "cuda:99: this machine has"),
    ],
)
def test_devices_that_are_not_there_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        scan(network(), sequences(), tmp_path / "s", **options, **SMALL)
    assert not list(tmp_path.iterdir())


def test_names_on_the_command_line():
    assert device_names("0,1") == ["cuda:0", "cuda:1"]
    assert device_names("cpu, cuda:1") == ["cpu", "cuda:1"]
    with pytest.raises(InputError, match="commas"):
        device_names("0,,1")
    assert "--devices" in CliRunner().invoke(cli, ["explain", "--help"]).output

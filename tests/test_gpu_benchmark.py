"""The prepared measurement of a card, as far as a CPU can run it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import everywhere, gpu


def test_the_command_measures_kernel_and_parity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PARITY", [("koo", 200, 2), ("spliceai", 300, 1)])
    arguments = ["gpu", "--out", str(tmp_path), "--device", "cpu", "--quick", "--parts", "kernel", "parity"]
    monkeypatch.setattr(sys, "argv", arguments)
    gpu.main()
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["network"] for row in found["parity"]] == ["koo, 200 bp", "spliceai, 300 bp"]
    assert all(row["float32: kept bases alike"] == "1.00000" for row in found["parity"])
    assert len(found["kernel"]) == 2


def test_without_a_card_the_command_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path)])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="--device cpu --quick"):
        gpu.main()


def test_public_functions_are_compared_on_two_devices() -> None:
    found = everywhere.rows(torch.device("cpu"), ["plrp", "layer_sparsity", "choose_rules"])
    assert {row[where] for row in found for where in everywhere.COLUMNS[1:3]} == {"0e+00"}
    lost = everywhere.rows(torch.device("meta"), ["coverage", "lrp"])
    assert all("Error" in row["X on the device"] for row in lost)
    one = torch.tensor([1.0, 2.0])
    for other, said in (
        (one.to("meta"), "is on meta"),
        (one + 0.1, "differs by 5e-02"),
        (one[:1], "(1,) for (2,)"),
    ):
        assert said in everywhere._compared([one], [other])

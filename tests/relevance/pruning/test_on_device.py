"""The forms of pruning for GPUs against the definition, to the bit: on a card where there is one, else on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genoplrp.relevance.pruning.selection import Selection
from genoplrp.relevance.pruning.thresholds import Reference
from tests.relevance.pruning.test_kernel import KINDS, POLICIES, values

ROOT = Path(__file__).parents[3]
WHERE = "cuda" if torch.cuda.is_available() else "cpu"  # one of them: a kernel is compiled or interpreted


@pytest.fixture(scope="module")
def triton_kernel():
    """The Triton kernels; without a card in Triton's interpreter (tests/conftest.py asks for it)."""
    pytest.importorskip("triton")
    from genoplrp.relevance.pruning import triton_kernel

    return triton_kernel


def case(kind: str, rows: int, entries: int, dtype: type, seed: int) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    g = torch.from_numpy(values(kind, (rows, entries), dtype, rng))
    a = torch.from_numpy(rng.choice(np.array([0, 0.5, 1], dtype), size=(rows, entries)))
    p = [torch.from_numpy(rng.choice([0, 0.05, 0.25, 0.5, 0.95, 1, rng.random()], size=rows)) for _ in "+-"]
    return a, g, *p


def assert_same(
    form: type[Reference],
    inputs: tuple[torch.Tensor, ...],
    device: str,
    policy: str,
    written: tuple[bool | None, ...] = (True, False, None),
) -> None:
    """Compare what is written (multipliers rescaled or not; for None the kept inputs), the masses and the numbers."""
    a, g, *p = inputs
    there = [tensor.to(device) for tensor in inputs]
    for rescale in written:
        expected, out = torch.empty_like(g), torch.full_like(there[1], 7)
        if rescale is None:
            stats = Reference.inputs(a, g, *p, policy, expected)
            found = form.inputs(*there, policy, out)
        else:
            stats = Reference.prune(a, g, *p, rescale, policy, expected)
            found = form.prune(*there, rescale, policy, out)
        assert torch.equal(out.cpu(), expected)
        for name, x, y in zip(stats._fields, stats, found, strict=True):
            assert torch.equal(x, y.cpu()), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_plain_torch_equals_the_reference_to_the_bit(kind: str, dtype: type, device: str) -> None:
    for policy in POLICIES:
        for entries, rows in ((1, 10), (2, 10), (7, 30), (60, 30), (700, 20), (9000, 1)):
            assert_same(Selection, case(kind, rows, entries, dtype, KINDS.index(kind)), device, policy)


@pytest.mark.parametrize("kind", KINDS)
def test_triton_equals_the_reference_to_the_bit(kind: str, triton_kernel) -> None:
    number = KINDS.index(kind)
    for policy, entries in (("mass", 60), ("mean" if number % 2 else "mass", (1, 7, 1030)[number % 3])):
        inputs = case(kind, 2, entries, np.float32, number)
        assert_same(triton_kernel.OnDevice, inputs, WHERE, policy, (True, (None, False)[number % 2]))


@pytest.mark.parametrize(
    "kind, policy", [("normal", "mass"), ("few", "mass"), ("wide", "mean"), ("subnormal", "mean")]
)
def test_triton_equals_the_reference_on_long_samples(
    kind: str, policy: str, triton_kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_kernel, "IN_ONE_PROGRAM", 64)
    monkeypatch.setattr(triton_kernel, "_SAMPLE", 256)  # of 1,300 entries: the bracket may miss the bound
    inputs = case(kind, 1, 1300, np.float32, 10 + KINDS.index(kind))
    assert_same(triton_kernel.OnDevice, inputs, WHERE, policy, (True, None))


@given(st.integers(1, 40), st.sampled_from(KINDS), st.sampled_from(["mass", "mean"]), st.integers(0, 2**31))
@settings(max_examples=40)
def test_triton_equals_the_reference_on_any_sample(entries: int, kind: str, policy: str, seed: int) -> None:
    pytest.importorskip("triton")
    from genoplrp.relevance.pruning.triton_kernel import OnDevice

    assert_same(OnDevice, case(kind, 1, entries, np.float32, seed), WHERE, policy, (True,))


COMPILES = """
from benchmarks.kernel_code import compiled, kernels

for function, constants, warps in kernels():
    for capability in (80, 90) if function.__name__ == "_sums" else (90,):
        made = compiled(function, constants, warps, capability)
        assert len(made.asm["ptx"]) > 500
        print(function.__name__, capability, made.metadata.shared)
"""


def test_kernels_compile_for_cards_that_are_not_here() -> None:
    pytest.importorskip("triton")
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILES],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 13

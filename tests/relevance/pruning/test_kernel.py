from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

numba = pytest.importorskip("numba")

from genoplrp.relevance.pruning import compiling, radix  # noqa: E402
from genoplrp.relevance.pruning.kernel import Compiled  # noqa: E402
from genoplrp.relevance.pruning.prune import prune_multipliers  # noqa: E402
from genoplrp.relevance.pruning.thresholds import Reference  # noqa: E402

POLICIES = ["mass", "mean", "effective"]
ROOT = Path(__file__).parents[3]


def values(kind: str, shape: tuple[int, int], dtype: type, rng: np.random.Generator) -> np.ndarray:
    normal = rng.normal(size=shape)
    largest, smallest = float(np.finfo(dtype).max), float(np.finfo(dtype).smallest_subnormal)
    match kind:
        case "normal":
            r = normal
        case "rectified":
            r = np.maximum(normal, 0)
        case "small integers":
            r = rng.integers(-3, 4, size=shape)
        case "wide":
            r = normal * np.exp(20 * rng.normal(size=shape))
        case "all equal":
            r = np.broadcast_to(normal[:, :1], shape)
        case "subnormal":
            r = rng.integers(-5, 6, size=shape) * smallest
        case "around the smallest normal":
            r = normal * float(np.finfo(dtype).tiny)
        case "huge":
            r = np.clip(normal / 4, -1, 1) * (largest if dtype == np.float32 else largest / 1e4)
        case "few":
            r = np.round(normal, 1) * (rng.random(shape) < 0.1)
        case _:
            r = rng.choice([0, 1e-42, 1e-30, 1, 1e30], size=shape) * normal
    return r.astype(dtype)


KINDS = ["normal", "rectified", "small integers", "wide", "all equal", "subnormal", "around the smallest normal",
         "huge", "few", "mixed scales"]  # fmt: skip


def assert_same(
    a: torch.Tensor, g: torch.Tensor, shares: list[torch.Tensor], policy: str, rescale: bool
) -> None:
    expected, out = torch.empty_like(g), torch.full_like(g, 7)
    stats = Reference.prune(a, g, *shares, rescale, policy, expected)
    compiled_stats = Compiled.prune(a, g, *shares, rescale, policy, out)
    assert torch.equal(out, expected)
    for name, x, y in zip(stats._fields, stats, compiled_stats, strict=True):
        assert torch.equal(x, y), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_kernel_equals_the_reference_to_the_bit_over_many_rows(kind: str, dtype: type) -> None:
    """Every row is a case of its own: 2 dtypes x 10 kinds x 3 policies x 201 rows = 12,060 cases."""
    rng = np.random.default_rng(KINDS.index(kind))
    for policy in POLICIES:
        for entries, rows in ((1, 20), (2, 20), (7, 60), (60, 60), (700, 40), (9000, 1)):
            g = torch.from_numpy(values(kind, (rows, entries), dtype, rng))
            a = torch.from_numpy(rng.choice(np.array([0, 0.5, 1], dtype), size=(rows, entries)))
            shares = [
                torch.from_numpy(rng.choice([0, 0.05, 0.25, 0.5, 0.95, 1, rng.random()], size=rows))
                for _ in "+-"
            ]
            assert_same(a, g, shares, policy, rescale=bool(rng.integers(2)))


@given(
    st.sampled_from([(np.float32, 32), (np.float64, 64)]).flatmap(
        lambda kind: hnp.arrays(
            kind[0],
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=70),
            elements=st.floats(
                width=kind[1], allow_nan=False, allow_infinity=False, min_value=-1e38, max_value=1e38
            )
            if kind[1] == 64
            else st.floats(width=32, min_value=-(2.0**126), max_value=2.0**126),
        )
    ),
    st.floats(0, 1),
    st.sampled_from(POLICIES),
)
@settings(max_examples=300, deadline=None)
def test_kernel_equals_the_reference_on_any_floats(g: np.ndarray, p: float, policy: str) -> None:
    tensor = torch.from_numpy(g)
    shares = [torch.full((len(g),), share, dtype=torch.float64) for share in (p, p / 2)]
    assert_same(torch.ones_like(tensor), tensor, shares, policy, rescale=True)
    ones = torch.ones_like(tensor)
    expected, kept = torch.empty_like(tensor), torch.empty_like(tensor)
    reference = Reference.inputs(ones, tensor, *shares, policy, expected)
    stats = Compiled.inputs(ones, tensor, *shares, policy, kept)
    assert torch.equal(kept, expected)
    assert all(torch.equal(one, other) for one, other in zip(stats, reference, strict=True))


def test_samples_longer_than_a_chunk_are_exact() -> None:
    rng = np.random.default_rng(0)
    g = torch.from_numpy(rng.integers(-40, 40, size=(1, 2 * radix._CHUNK + 5)).astype(np.float32))
    shares = [torch.tensor([0.3], dtype=torch.float64), torch.tensor([0.1], dtype=torch.float64)]
    assert_same(torch.ones_like(g), g, shares, "mass", rescale=True)


@pytest.fixture
def threads() -> None:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def thread_counts() -> dict[str, list[str]]:
    """What became of torch's and of numba's threads with one, two and three of torch's, in a process of its own."""
    # To ask numba for its number of threads already changes torch's: last.
    code = (
        "import numba, torch\n"
        "from genoplrp.relevance.pruning.prune import prune_multipliers\n"
        "a = torch.rand(8, 100_000)\n"
        "for count in (1, 2, 3):\n"
        "    torch.set_num_threads(count)\n"
        "    prune_multipliers(a, a, .3, .2)\n"
        "    print(count, torch.get_num_threads(), numba.np.ufunc.parallel._is_initialized)\n"
        "print('numba', numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {first: rest for first, *rest in map(str.split, done.stdout.splitlines())}


@pytest.mark.parametrize("count", ["1", "2", "3"])
def test_thread_counts_are_the_users(count: str, thread_counts: dict[str, list[str]]) -> None:
    assert thread_counts[count] == [count, "False"]
    assert thread_counts["numba"] == ["True"]


@pytest.mark.usefixtures("threads")
def test_number_of_threads_does_not_change_a_bit() -> None:
    a, g = torch.rand(7, 90_000), torch.randn(7, 90_000)
    results = []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        results.append(prune_multipliers(a, g, 0.3, 0.2)[0])
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.usefixtures("threads")
def test_many_python_threads_at_once_get_their_own_results() -> None:
    torch.set_num_threads(2)
    inputs = [(torch.rand(4, 60_000), torch.randn(4, 60_000)) for _ in range(8)]
    expected = [prune_multipliers(a, g, 0.3, 0.2)[0] for a, g in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            results = list(pool.map(lambda pair: prune_multipliers(*pair, 0.3, 0.2)[0], inputs))
            assert all(torch.equal(x, y) for x, y in zip(results, expected, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.usefixtures("threads")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_can_prune() -> None:
    torch.set_num_threads(2)
    g = torch.randn(4, 100_000)
    prune_multipliers(torch.ones_like(g), g, 0.3, 0.2)
    child = multiprocessing.get_context("fork").Process(target=_prune_in_child)
    child.start()
    child.join(30)
    alive = child.is_alive()
    if alive:
        child.kill()
    assert not alive
    assert child.exitcode == 0


def _prune_in_child() -> None:
    # Tensors by numpy: torch's own parallel loops are not to be used after a fork.
    out = torch.empty(4, 100_000)
    g = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 100_000)).astype(np.float32))
    share = torch.from_numpy(np.full(4, 0.3))
    Compiled.prune(g, g, share, share, True, "mass", out)


def test_kernel_compiles_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    def njit(*args: object, **options: object) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(*args, **options)

    monkeypatch.setattr(numba, "njit", njit)

    def increment(x):  # type: ignore[no-untyped-def]
        return x + 1

    compiled = compiling.compiled(increment)
    assert compiled(2) == 3


def test_first_call_in_a_new_process_is_quick_once_cached() -> None:
    code = (
        "import time, torch; a = torch.rand(4, 1000); start = time.process_time();"
        "from genoplrp.relevance.pruning.prune import prune_multipliers;"
        "prune_multipliers(a, a, .3, .2); print(time.process_time() - start)"
    )

    def seconds() -> float:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    assert seconds() < 2 or seconds() < 2  # the first process may have to compile

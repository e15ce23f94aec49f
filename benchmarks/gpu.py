"""A card measured in one command, in under six minutes: ``python -m benchmarks.gpu --out DIR``.

Parity of card and CPU, the engine beside the peers, the pruning kernel's share of the card's bandwidth, scan rates and
peak memory; each part is written to DIR as soon as it is measured. On a machine without the package's dependencies::

    pip download -d wheels captum zennit tangermeme autolrp zarr pandas biopython logomaker pyfaidx tomli_w   # no torch
    pip install --no-index --no-deps --target site wheels/*.whl   # on the machine with the card, which has torch
    PYTHONPATH=site:. python -m benchmarks.gpu --out DIR

With ``--device cpu --quick`` the same command runs on small sizes without a card.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks import launches
from benchmarks.engine import METHODS as ENGINE
from benchmarks.engine import UNIT
from benchmarks.timing import Case, describe, machine, save, table, time_cases
from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, Pruning
from genoplrp.relevance.pruning.prune import prune_multipliers
from genoplrp.training import build_architecture

METHODS = (
    UNIT,
    "LRP, epsilon",
    "LRP, gamma",
    "PLRP-lambda, epsilon, p = 0.25",
    "PLRP-lambda, gamma, p = 0.25",
    "PLRP-M, epsilon, p = 0.25",
    "PLRP-lambda, epsilon, sweep of 20 p",
    "captum LRP epsilon",
    "zennit Epsilon",
    "zennit EpsilonPlus",
    "autoLRP epsilon",
    "integrated gradients, 50 steps",
    "DeepLIFT/SHAP, 20 references",
)
SLOW = ("integrated gradients", "DeepLIFT", "autoLRP", "captum", "PLRP-lambda, epsilon, sweep")
SMALL = {"koo batch 64": ("koo", 200, 4), "spliceai batch 8": ("spliceai", 1200, 1)}
SIZES = {
    "koo batch 64": ("koo", 200, 64),
    "bpnet batch 64": ("bpnet", 2114, 64),
    "bpnet batch 512": ("bpnet", 2114, 512),
    "spliceai batch 8": ("spliceai", 10_000, 8),
}
"""Name -> network, length in bp, batch."""


class SpliceAI(nn.Module):
    """The published network's shape (Jaganathan et al. 2019, 10 kb) with random weights; one number a sequence."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        shapes = [(11, 1)] * 4 + [(11, 4)] * 4 + [(21, 10)] * 4 + [(41, 25)] * 4
        self.first, self.skip = nn.Conv1d(4, channels, 1), nn.Conv1d(channels, channels, 1)
        self.units = nn.ModuleList(self._unit(channels, *shape) for shape in shapes)
        self.skips = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in range(4))
        self.out = nn.Conv1d(channels, 3, 1)

    @staticmethod
    def _unit(channels: int, width: int, dilation: int) -> nn.Sequential:
        def half() -> list[nn.Module]:
            padding = dilation * (width - 1) // 2
            convolution = nn.Conv1d(channels, channels, width, dilation=dilation, padding=padding)
            return [nn.BatchNorm1d(channels), nn.ReLU(), convolution]

        return nn.Sequential(*half(), *half())

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4, L) -> (N, 3): the outputs at the middle position."""
        h = self.first(x)
        total = self.skip(h)
        for number, unit in enumerate(self.units):
            h = h + unit(h)
            if number % 4 == 3:
                total = total + self.skips[number // 4](h)
        out: Tensor = self.out(total)[:, :, x.shape[2] // 2]
        return out


def network(kind: str, length: int) -> nn.Module:
    """A network with random weights, seeded without touching torch's generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "spliceai":
            return SpliceAI().eval()
        options = {"layers": 8} if kind == "bpnet" else {}
        return build_architecture(kind, length=length, n_tasks=1, **options).eval()


def sequences(batch: int, length: int, seed: int = 0) -> Tensor:
    """Random one-hot sequences (N, 4, L)."""
    bases = torch.randint(4, (batch, length), generator=torch.Generator().manual_seed(seed))
    return nn.functional.one_hot(bases, 4).mT.float().contiguous()


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True, help="folder for JSON and Markdown")
    options.add_argument("--device", default="cuda", help="cuda (default), cuda:1, cpu")
    options.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    options.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    given = options.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here: run on a machine with a card, or with --device cpu --quick")
    warnings.simplefilter("ignore")
    begin = time.perf_counter()
    results: dict[str, Any] = {"machine": machine(), "device": str(device), "quick": given.quick}
    for name in given.parts:
        start = time.perf_counter()
        results[name] = PARTS[name](device, given.quick)
        results.setdefault("seconds", {})[name] = round(time.perf_counter() - start, 1)
        save(given.out / "gpu.json", results)
    print(f"\n{time.perf_counter() - begin:.0f} s in all; {results['machine']}")


# -- parts ----------------------------------------------------------------------------------------------------


def parity(device: torch.device, quick: bool) -> list[dict[str, Any]]:
    """Relevance and kept sets of the card beside the CPU's, on six networks; with TF32 off and on."""
    rows = []
    for kind, length, batch in PARITY[:2] if quick else PARITY:
        model, X = network(kind, length), sequences(batch, length)
        here = _pruned(model, None)(X).relevance
        row: dict[str, Any] = {"network": f"{kind}, {length} bp"}
        for name, tf32 in (("float32", False), ("TF32", True)):
            with _tf32(tf32):
                there = _pruned(model, device)(X).relevance
            size = here.abs().amax(dim=(1, 2), keepdim=True)
            row |= {
                f"{name}: largest difference": f"{((here - there).abs() / size).max():.1e}",
                f"{name}: correlation": f"{torch.corrcoef(torch.stack([here.flatten(), there.flatten()]))[0, 1]:.6f}",
                f"{name}: kept bases alike": f"{((here != 0) == (there != 0)).float().mean():.5f}",
            }
        rows.append(row)
    _show("Card and CPU, PLRP-lambda at p = 0.25 (differences in units of the largest relevance)", rows)
    return rows


def engine(device: torch.device, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Times in units of gradient x input, and peak memory."""
    found = {}
    for name, (kind, length, batch) in (SMALL if quick else SIZES).items():
        model, X = network(kind, length).to(device), sequences(batch, length).to(device)
        cases = dict(_cases(model, X, quick, is_long=length > 5000 or batch > 64))
        timings = time_cases(cases, UNIT, rounds=3 if quick else 7, seconds=0.5 if quick else 4)
        rows = [
            {
                "method": timing.name,
                "ms": f"{1e3 * timing.seconds:.2f}",
                "in gradients": describe(timing),
                "sequences / s": f"{batch / timing.seconds:,.0f}",
                "peak MiB": _peak(cases[timing.name], device),
            }
            for timing in timings
        ]
        found[name] = rows
        _show(name, rows)
    return found


def layout(device: torch.device, quick: bool) -> list[dict[str, Any]]:
    """PLRP-lambda with convolutions in torch's own layout and channels-last, as the CPU has them."""
    from genoplrp.relevance import devices

    def explained(explain: Explainer, X: Tensor, kinds: set[str]) -> Tensor:
        with patch.object(devices, "CHANNELS_LAST", kinds):
            return explain(X).relevance

    rows = []
    for name, (kind, length, batch) in (SMALL if quick else SIZES).items():
        model, X = network(kind, length).to(device), sequences(batch, length).to(device)
        explain = Explainer(model, "epsilon", Pruning(p=0.25), batch_size=batch, diagnostics=False)
        cases = {"as it is": {"cpu"}, "channels-last": {"cpu", "cuda"}}
        maps = torch.stack([explained(explain, X, kinds).flatten() for kinds in cases.values()])
        row = {"network": name, "correlation": f"{torch.corrcoef(maps)[0, 1]:.6f}"}
        timings = time_cases(
            {which: _waited(partial(explained, explain, X, kinds), device) for which, kinds in cases.items()},
            "as it is",
            rounds=3 if quick else 7,
            seconds=2,
        )
        rows.append(row | {f"{timing.name}: ms": f"{1e3 * timing.seconds:.2f}" for timing in timings})
    _show("Layout of convolutions", rows)
    return rows


def kernel(device: torch.device, quick: bool) -> list[dict[str, Any]]:
    """The pruning kernel: bytes that have to move (two reads, one write) a second, beside a plain copy."""
    rows = []
    for entries, batch in ((4096, 64), (135_296, 4)) if quick else KERNEL:
        generator = torch.Generator().manual_seed(0)
        a = torch.randn(batch, entries, generator=generator).relu().to(device)
        g = torch.randn(batch, entries, generator=generator).to(device)
        out = torch.empty_like(g)
        cases = {
            "copy": partial(out.copy_, g),
            "prune": partial(prune_multipliers, a, g, 0.25, 0.125, out=out),
            "sort": partial(torch.sort, g, dim=1),
        }
        times = {
            t.name: t.seconds
            for t in time_cases(
                {k: _waited(c, device) for k, c in cases.items()}, "copy", rounds=9, seconds=2
            )
        }
        rate = {"copy": 2 * g.nbytes / times["copy"], "prune": 3 * g.nbytes / times["prune"]}
        rows.append(
            {
                "samples x entries": f"{batch} x {entries:,}",
                "ms": f"{1e3 * times['prune']:.3f}",
                "GB/s": f"{rate['prune'] / 1e9:.0f}",
                "share of a copy's": f"{rate['prune'] / rate['copy']:.2f}",
                "to torch.sort": f"{times['prune'] / times['sort']:.2f}",
            }
        )
    _show("Pruning kernel", rows)
    return rows


def scan(device: torch.device, quick: bool) -> list[dict[str, Any]]:
    """Windows a second from base numbers in memory to a store on disk, beside the bare explainer."""
    from genoplrp.errors import MissingDependencyError
    from genoplrp.scan import Sequences
    from genoplrp.scan import scan as scan_windows

    rows = []
    for kind, length, n in (
        (("bpnet", 2114, 64),) if quick else (("bpnet", 2114, 20_480), ("spliceai", 10_000, 512))
    ):
        model = network(kind, length).to(device)
        codes = torch.randint(
            4, (n, length), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        ).numpy()
        batch = min(512 if kind == "bpnet" else 32, n)
        explain = Explainer(model, "gamma", Pruning(p=0.25), batch_size=batch, diagnostics=False)
        X = sequences(batch, length)
        explain(X)
        start = time.perf_counter()
        turns = 1 if quick else 3
        for _ in range(turns):
            explain(X)
        bare = turns * batch / (time.perf_counter() - start)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            try:
                scan_windows(
                    model, Sequences(codes), Path(folder) / "s", pruning=Pruning(p=0.25), batch_size=batch
                )
            except MissingDependencyError as error:
                return [{"network": kind, "explainer / s": f"{bare:,.0f}", "scan / s": str(error)}]
            rate = n / (time.perf_counter() - start)
        rows.append({"network": kind, "explainer / s": f"{bare:,.0f}", "scan / s": f"{rate:,.0f}"})
    _show("Scan", rows)
    return rows


def launched(device: torch.device, quick: bool) -> list[dict[str, Any]]:
    """Kernels that a batch starts; on the CPU those that it would start on a card."""
    found = [row for name in list(launches.NETWORKS)[: 1 if quick else None] for row in launches.rows(name)]
    _show("Launches a batch", [{k: v for k, v in row.items() if k != "operations"} for row in found])
    return found


def equality(device: torch.device, quick: bool) -> dict[str, Any]:
    """The pruning kernel against the definition on random cases (`benchmarks.kernel_cases`), to the bit."""
    from benchmarks.kernel_cases import check

    cases, different = 20 if quick else 2000, []
    for seed in range(cases):
        try:
            check(seed, str(device))
        except AssertionError:
            different.append(seed)
    _show("Kernel and definition", [{"cases": cases, "different": len(different)}])
    return {"cases": cases, "different": different}


def graphs(device: torch.device, quick: bool) -> list[dict[str, Any]]:
    """Batches played back as a CUDA graph (``cuda_graph=True``) beside those that are enqueued: time, and equality."""
    rows: list[dict[str, Any]] = []
    for name, (kind, length, batch) in (SMALL if quick else SIZES).items():
        model = network(kind, length).to(device)
        X, other = (sequences(batch, length, seed).to(device) for seed in (0, 1))
        for rules in ("epsilon", "gamma"):
            options: dict[str, Any] = {"batch_size": batch, "diagnostics": False}
            enqueued = Explainer(model, rules, Pruning(p=0.25), **options)
            try:
                played = Explainer(model, rules, Pruning(p=0.25), cuda_graph=True, **options)
            except InputError as error:
                print(f"left out: CUDA graphs: {str(error).split(',')[0]}")
                return []
            for _ in range(2):
                played(X)
            cases = {
                "enqueued": _waited(partial(enqueued, X), device),
                "played": _waited(partial(played, X), device),
            }
            timings = {t.name: t for t in time_cases(cases, "enqueued", rounds=7, seconds=2)}
            assert played._recordings is not None
            rows.append(
                {
                    "network": name,
                    "rules": rules,
                    "enqueued ms": f"{1e3 * timings['enqueued'].seconds:.2f}",
                    "played ms": f"{1e3 * timings['played'].seconds:.2f}",
                    "alike to the bit": all(
                        torch.equal(played(x).relevance, enqueued(x).relevance) for x in (other, X)
                    ),
                    "not recorded, because": played._recordings.failure,
                }
            )
    _show("CUDA graphs", rows)
    return rows


def functions(device: torch.device, quick: bool) -> list[dict[str, Any]]:
    """The public functions with model and sequences on the card, beside the CPU (`benchmarks.everywhere`)."""
    from benchmarks.everywhere import CASES, rows

    with _tf32(False):
        found = rows(device, list(CASES)[: 3 if quick else None])
    _show("Public functions on the card: largest difference to the CPU", found)
    return found


PARTS: dict[str, Callable[[torch.device, bool], Any]] = {
    "kernel": kernel,
    "equality": equality,
    "launches": launched,
    "graphs": graphs,
    "engine": engine,
    "layout": layout,
    "parity": parity,
    "scan": scan,
    "functions": functions,
}
PARITY = [
    ("koo", 200, 64),
    ("bpnet", 1000, 16),
    ("spliceai", 3000, 4),
    ("deepstarr", 249, 32),
    ("basset", 600, 16),
    ("residualbind", 500, 16),
]
KERNEL = [(4096, 512), (32_000, 64), (135_296, 64), (135_296, 512), (320_000, 128)]


# -- helpers --------------------------------------------------------------------------------------------------


def _pruned(model: nn.Module, device: torch.device | None) -> Explainer:
    return Explainer(model, "epsilon", Pruning(p=0.25), batch_size=64, device=device, diagnostics=False)


def _cases(model: nn.Module, X: Tensor, quick: bool, is_long: bool) -> Iterator[tuple[str, Case]]:
    for name in METHODS:
        if is_long and name.startswith(SLOW):
            continue
        try:
            make = ENGINE.get(name) or (lambda model: partial(_autolrp, model))
            case = _waited(partial(make(model), X), X.device)
            case()
        except Exception as error:  # a peer that is not installed, or cannot do this network
            print(f"left out: {name}: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
            continue
        yield name, case


def _autolrp(model: nn.Module, X: Tensor) -> Any:
    import autolrp

    x = autolrp.tensor(X)
    model(x)[:, 0].sum().lrp(config=autolrp.LRPConfig(eps=1e-6))
    return x.relevance


def _waited(case: Case, device: torch.device) -> Case:
    def run() -> None:
        case()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def _peak(case: Case, device: torch.device) -> str:
    if device.type != "cuda":
        return ""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    case()
    return f"{(torch.cuda.max_memory_allocated(device) - before) / 2**20:,.0f}"


@contextlib.contextmanager
def _tf32(is_on: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = is_on
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _show(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}\n\n{table(rows, list(rows[0]))}", flush=True)


if __name__ == "__main__":
    main()

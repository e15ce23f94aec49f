"""A relevance pass against gradient times input and against the peers: ``python -m benchmarks.engine``.

The unit is gradient times input in plain PyTorch: one forward and one backward pass. Two networks with random weights:
``koo``, 200 bp, batch 64, and ``bpnet``, eight dilated residual convolutions, 2,114 bp, batch 16. A peer's row says
what it costs, not that its result is right: on the residual network captum's and zennit's are not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import peers
from benchmarks.timing import (
    Case,
    Timing,
    describe,
    machine,
    parser,
    peak_memory,
    print_peak,
    save,
    table,
    time_cases,
)
from genoplrp.relevance import SWEEP, Explainer, Pruning
from genoplrp.relevance.propagation.linear_maps import Dense, LinearMap, convolution_map
from genoplrp.training import build_architecture

UNIT = "gradient x input"
ONE_PASS = "PLRP-lambda, epsilon, p = 0.25"
SWEEP_OF_20 = "PLRP-lambda, epsilon, sweep of 20 p"
NETWORKS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "koo": (200, 64, {}),
    "bpnet": (2114, 16, {"layers": 8}),
}

Maker = Callable[[nn.Module], Callable[[Tensor], object]]


def main() -> None:
    options = parser(__doc__ or "", "engine.json")
    options.add_argument("--network", choices=list(NETWORKS), help="one network only")
    options.add_argument("--ours", action="store_true", help="leave the peers out")
    options.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    options.add_argument("--memory-of", help="print one method's peak memory in MiB, nothing else")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore")
    names = [given.network] if given.network else list(NETWORKS)
    if given.memory_of:
        print_peak(_cases(names[0], [given.memory_of])[given.memory_of])
        return
    rounds = given.rounds or (5 if given.quick else 15)
    results: dict[str, Any] = {"machine": machine(), "unit": UNIT, "networks": {}}
    for name in names:
        methods = list(METHODS)
        if given.ours:
            methods = [name for name in METHODS if name == UNIT or not name.startswith(PEERS)]
        if given.quick:
            methods = [method for method in methods if method in QUICK[name]]
        seconds = 4 if given.quick else 90
        timings = time_cases(_cases(name, methods), UNIT, rounds=rounds, seconds=seconds, clock=given.clock)
        measured = [] if given.no_memory else [m for m in methods if not given.quick or m in MEMORY_IF_QUICK]
        arguments = ["--network", name, "--threads", str(given.threads), "--memory-of"]
        memory = {method: peak_memory("benchmarks.engine", [*arguments, method]) for method in measured}
        results["networks"][name] = [
            t._asdict() | ({"peak_mib": memory[t.name]} if t.name in memory else {}) for t in timings
        ]
        length, batch, _ = NETWORKS[name]
        print(f"\n{name}: {length} bp, batch {batch}\n")
        rows = [_row(t, memory) | {"goal": _goal(name, t, timings)} for t in timings]
        print(table(rows, ["method", "ms", "time", "goal", "memory"]))
    print("\n" + ", ".join(f"{key}: {value}" for key, value in results["machine"].items()))
    save(given.out, results)


def _row(timing: Timing, memory: dict[str, float]) -> dict[str, str]:
    ratio = f"{memory[timing.name] / memory[UNIT]:.2f}" if timing.name in memory else ""
    return {
        "method": timing.name,
        "ms": f"{1e3 * timing.seconds:.1f}",
        "time": describe(timing),
        "memory": ratio,
    }


def _goal(network: str, timing: Timing, timings: list[Timing]) -> str:
    """The goal of a row, and of a sweep what it takes in passes."""
    if timing.name == SWEEP_OF_20:
        one = next(other.ratio for other in timings if other.name == ONE_PASS)
        return f"{SWEEP_GOAL:g} passes (is {timing.ratio / one:.1f})"
    goals = GOALS.get(timing.name)
    return f"{goals[list(NETWORKS).index(network)]:g}" if goals else ""


def _cases(network: str, methods: list[str]) -> dict[str, Case]:
    length, batch, parameters = NETWORKS[network]
    model = build_architecture(network, length=length, n_tasks=1, **parameters).eval()
    bases = torch.randint(4, (batch, length), generator=torch.Generator().manual_seed(0))
    X = torch.nn.functional.one_hot(bases, 4).mT.float().contiguous()
    return {name: partial(METHODS[name](model), X) for name in methods}


def _ours(rules: str, p: float | None = None, method: str = "lambda") -> Maker:
    def make(model: nn.Module) -> Callable[[Tensor], object]:
        pruning = None if p is None else Pruning(p=p, method=method)  # type: ignore[arg-type]
        return Explainer(model, rules, pruning, batch_size=4096, diagnostics=False)

    return make


def _sweep(model: nn.Module) -> Callable[[Tensor], object]:
    explain = Explainer(model, "epsilon", Pruning(p=0.25), batch_size=4096, diagnostics=False)
    return lambda X: [e.relevance for _, e in explain.sweep(X, p=SWEEP)]


def _with_diagnostics(model: nn.Module) -> Callable[[Tensor], object]:
    return Explainer(model, "epsilon", Pruning(p=0.25), batch_size=4096, diagnostics=True)


def _floor(forward: int, backward: int, kept: int = 0) -> Maker:
    """Nothing but the layers' own arithmetic, so often: what no way of writing the pass gets below."""

    def make(model: nn.Module) -> Callable[[Tensor], object]:
        calls: list[tuple[LinearMap, Tensor, Tensor, Tensor]] = []

        def note(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            weight = module.weight.detach()
            described: LinearMap = Dense()
            if isinstance(module, nn.Conv1d):
                described = convolution_map(
                    weight, module.stride, module.padding, module.dilation, module.groups
                )
            x, z = (t.unsqueeze(2) if t.dim() == 3 else t for t in (given[0], out))
            if x.dim() == 4:  # in the layout that the passes work in
                x, z = (t.contiguous(memory_format=torch.channels_last).squeeze(2) for t in (x, z))
            calls.append((described, weight, x, z))

        def run(X: Tensor) -> None:
            if not calls:
                layers = [m for m in model.modules() if isinstance(m, nn.Conv1d | nn.Linear)]
                hooks = [layer.register_forward_hook(note) for layer in layers]
                with torch.no_grad():
                    model(X)
                for hook in hooks:
                    hook.remove()
            for number, (described, weight, x, z) in enumerate(calls):
                # Nothing is pruned at the network's input, so its layer is propagated through as in LRP.
                for _ in range(forward + (kept if number else 0)):
                    described.forward(x, weight)
                for _ in range(backward if number else 1):
                    described.transpose(z, weight, x)

        return run

    return make


def _peer(method: peers.Method) -> Maker:
    return lambda model: partial(method, model)


def _zennit(composite: str) -> Maker:
    return lambda model: partial(peers.zennit_composite(composite), model)


METHODS: dict[str, Maker] = {
    UNIT: _peer(peers.gradient_x_input),
    "LRP, epsilon": _ours("epsilon"),
    "LRP, gamma": _ours("gamma"),
    "LRP, z-plus": _ours("zplus"),
    "PLRP-lambda, epsilon, p = 0.25": _ours("epsilon", 0.25),
    "PLRP-lambda, gamma, p = 0.25": _ours("gamma", 0.25),
    "PLRP-lambda, z-plus, p = 0.25": _ours("zplus", 0.25),
    "PLRP-M, epsilon, p = 0.25": _ours("epsilon", 0.25, "M"),
    "PLRP-M, gamma, p = 0.25": _ours("gamma", 0.25, "M"),
    "PLRP-M as a whole, epsilon, p = 0.25": _ours("epsilon", 0.25, "M-literal"),
    "PLRP-lambda, epsilon, with diagnostics": _with_diagnostics,
    SWEEP_OF_20: _sweep,
    "LRP: its convolutions alone": _floor(1, 1),
    "PLRP-M: its convolutions alone": _floor(1, 3, kept=3),
    "sweep of 20 p: its convolutions alone": _floor(1, 20),
    "captum LRP epsilon": _peer(peers.captum_lrp),
    "zennit Epsilon": _zennit("Epsilon"),
    "zennit EpsilonPlus": _zennit("EpsilonPlus"),
    "zennit EpsilonGammaBox": _zennit("EpsilonGammaBox"),
    "integrated gradients, 50 steps": _peer(peers.integrated_gradients),
    "DeepLIFT/SHAP, 20 references": _peer(peers.deeplift_shap),
}
# What stands in the goals, and a peer; the sweep on the small network only.
QUICK = {
    "bpnet": {
        UNIT,
        "LRP, epsilon",
        "PLRP-lambda, epsilon, p = 0.25",
        "PLRP-lambda, gamma, p = 0.25",
        "PLRP-lambda, z-plus, p = 0.25",
        "PLRP-M, epsilon, p = 0.25",
    }
}
QUICK["koo"] = QUICK["bpnet"] | {SWEEP_OF_20, "captum LRP epsilon", "zennit Epsilon"}
# Most that a method may take on the two networks, in units of gradient x input; a sweep in units of one pass.
GOALS = {
    "LRP, epsilon": (1.0, 0.8),
    "PLRP-lambda, epsilon, p = 0.25": (1.0, 0.9),
    "PLRP-lambda, gamma, p = 0.25": (1.3, 1.4),
    "PLRP-lambda, z-plus, p = 0.25": (1.3, 1.4),
    "PLRP-M, epsilon, p = 0.25": (1.6, 2.0),
    "PLRP-M, gamma, p = 0.25": (1.6, 2.0),
}
PEERS = ("captum", "zennit", "integrated gradients", "DeepLIFT")
SWEEP_GOAL = 10.0
MEMORY_IF_QUICK = {UNIT, ONE_PASS}


if __name__ == "__main__":
    main()

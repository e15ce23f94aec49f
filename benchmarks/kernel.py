"""The pruning kernel against sorting, and against its layer's convolution: ``python -m benchmarks.kernel``."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from benchmarks.timing import Case, Timing, describe, machine, parser, save, table, time_cases
from genoplrp.relevance.pruning.prune import kept_inputs, prune_multipliers
from genoplrp.relevance.pruning.selection import Selection
from genoplrp.relevance.pruning.thresholds import Reference

# Layer -> channels, length, batch, width of the convolution (0: dense), of the two benchmark networks and beyond.
LAYERS = {
    "koo, second convolution": (32, 50, 64, 7),
    "koo, dense": (640, 1, 64, 0),
    "bpnet, dilated convolution": (64, 2114, 16, 3),
    "wide, 512 channels": (512, 1024, 4, 3),
}


def main() -> None:
    options = parser(__doc__ or "", "kernel.json").parse_args()
    torch.set_num_threads(options.threads)
    layers = dict(list(LAYERS.items())[:3]) if options.quick else LAYERS
    rounds = options.rounds or (5 if options.quick else 15)
    rows: list[dict[str, str]] = []
    results = {}
    for name, shape in layers.items():
        timings = time_cases(_cases(*shape), "sort", rounds=rounds, seconds=20, clock=options.clock)
        results[name] = [timing._asdict() for timing in timings]
        layer = next(timing.ratio for timing in timings if timing.name == "layer's backward")
        rows += [_row(name, timing, layer) for timing in timings]
    print(table(rows, list(rows[0])))
    print(machine())
    save(options.out, {"machine": machine(), "layers": results})


def _row(layer: str, timing: Timing, backward: float) -> dict[str, str]:
    return {
        "layer": layer,
        "what": timing.name,
        "ms": f"{1e3 * timing.seconds:.2f}",
        "to torch.sort": describe(timing),
        "to the layer's backward": f"{timing.ratio / backward:.2f}",
    }


def _cases(channels: int, length: int, batch: int, width: int) -> Mapping[str, Case]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def last(x: Tensor) -> Tensor:
        return x.transpose(1, 2).contiguous().transpose(1, 2)

    a, g = last(draw(batch, channels, length).relu()), last(draw(batch, channels, length))
    rows, share = (a * g).reshape(batch, -1), torch.full((batch,), 0.25, dtype=torch.float64)
    flat, out = a.reshape(batch, -1), torch.empty_like(g)

    def prune(p: float, policy: str = "mass") -> Case:
        return lambda: prune_multipliers(a, g, p, p / 2, policy=policy, out=out)

    if width:
        weight = draw(channels, channels, width)
        backward: Case = lambda: torch.ops.aten.convolution_backward(  # noqa: E731
            g, a, weight, None, [1], [width // 2], [1], False, [0], 1, [True, False, False]
        )
    else:
        weight, z = draw(512, channels), draw(batch, 512)
        backward = lambda: z @ weight  # noqa: E731
    return {
        "sort": lambda: torch.sort(rows, dim=1),
        "reference, by sorting": lambda: Reference.prune(
            flat, rows, share, share / 2, True, "mass", torch.empty_like(rows)
        ),
        "plain torch, by histograms": lambda: Selection.prune(
            flat, rows, share, share / 2, True, "mass", torch.empty_like(rows)
        ),
        "p = 0": prune(0.0),
        "p = 0.05": prune(0.05),
        "p = 0.25": prune(0.25),
        "p = 0.9": prune(0.9),
        "mean": prune(0.0, "mean"),
        "effective": prune(0.0, "effective"),
        "kept inputs, p = 0.25": lambda: kept_inputs(a, g, 0.25, 0.125),
        "layer's backward": backward,
    }


if __name__ == "__main__":
    main()

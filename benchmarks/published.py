"""The page of models: networks of published packages are explained and timed, and what is refused is tried too.

Each network is reduced, with random weights and randomised norms (the wheels of SpliceAI and MMSplice: published
weights), as in tests/interop, whose requirements.txt installs the packages. Times are processor time on one thread, in
units of gradient x input on the same network, the lowest of a few turns.

Run: python -m benchmarks.published [--only WORDS] [--out benchmarks/results/published.json]
     python -m benchmarks.published --write      (run nothing; write the tables into docs/models.md)
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.timing import machine, parser, save, table
from genoplrp.errors import GenoplrpError
from genoplrp.relevance import Explainer, Pruning, adapt_model
from tests.interop.published import MODELS, Published

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
MARKS = "<!-- benchmarks.published: begin -->", "<!-- benchmarks.published: end -->"
REFUSED_MARKS = "<!-- benchmarks.published, refused: begin -->", "<!-- benchmarks.published, refused: end -->"
COLUMNS = ("package", "model", "call", "rules used", "notes", "time")
DISTRIBUTIONS = {"SpliceAI (wheel)": "spliceai", "MMSplice (wheel)": "mmsplice"}
TURNS = 3
RULES = {
    "scaled_dot_product_attention": "attention", "multi_head_attention_forward": "attention", "einsum": "products",
    "matmul": "matrix product", "bmm": "matrix product", "mul": "products", "attention": "attention",
    "conv1d": "convolution", "conv2d": "convolution", "linear": "dense", "addmm": "dense",
    "batch_norm": "merged norm", "layer_norm": "norm", "rsqrt": "norm", "group_norm": "norm", "div": "norm",
    "lstm": "recurrent", "gru": "recurrent", "softmax": "softmax", "log_softmax": "softmax",
}  # fmt: skip
"""What a ruled operation is called on the page; others are activations."""


def main() -> None:
    """Run what is asked for and write the results."""
    options = parser(__doc__ or "", "published.json")
    options.add_argument("--only", help="networks whose name holds these words")
    options.add_argument("--write", action="store_true", help="only write the tables into docs/models.md")
    given: argparse.Namespace = options.parse_args()
    results = json.loads(given.out.read_text()) if given.out.exists() else {"models": {}}
    if given.write:
        write_page(results)
        return
    torch.set_num_threads(given.threads)
    for published in MODELS:
        if given.only and given.only.lower() not in published.name.lower():
            continue
        if published.missing:
            print(f"{published.name}: {published.missing} is not installed", flush=True)
            continue
        results["models"][published.name] = found = measured(published, 1 if given.quick else TURNS)
        print(f"{published.name}: {found['time']}", flush=True)
        save(given.out, {"machine": machine(), "models": results["models"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(given.out, {"machine": machine(), "models": results["models"], "refused": refusals()})
    print(table(list(rows(results["models"])), COLUMNS))


def measured(published: Published, turns: int) -> dict[str, Any]:
    """What one network's explanation used and cost."""
    model, X = published.made(), published.sequences()
    checked = Explainer(model, "gamma", Pruning(0.1))(X, published.target)
    assert checked.check().holds, f"{published.name}: relevance is not conserved"
    if published.dtype != torch.float32:  # as people run it
        model = model.float()
    X = published.sequences(2 if published.length > 5000 else 32).float()
    explain = Explainer(model, "gamma", Pruning(0.1), diagnostics=False)
    taken = adapt_model(model, X=X)

    def gradient_times_input() -> Tensor:
        x = X.clone().requires_grad_()
        y = taken(x)
        chosen = (
            published.target(y) if callable(published.target) else y.reshape(len(y), -1)[:, published.target]
        )
        return torch.autograd.grad(chosen.sum(), x)[0] * X

    explained, plain = (
        lowest(f, turns) for f in (lambda: explain(X, published.target), gradient_times_input)
    )
    used = dict.fromkeys(RULES.get(name, "activations") for name in checked.settings["operations"]["ruled"])
    return {
        "version": version(DISTRIBUTIONS.get(published.package, published.package)),
        "rules": sorted(used),
        "said": checked.notes,
        "time": round(explained / plain, 2),
        "length": published.length,
    }


def lowest(call: Callable[[], Any], turns: int) -> float:
    """Lowest processor time of a few calls after the first, in seconds; each of at least a tenth."""
    call()
    best = float("inf")
    for _ in range(turns):
        started, calls = time.process_time(), 0
        while (spent := time.process_time() - started) < 0.1:
            call()
            calls += 1
        best = min(best, spent / calls)
    return best


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.exp()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class _Calls(nn.Module):
    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


def refusals() -> list[dict[str, str]]:
    """What is refused, and the first sentence of the message."""
    first = nn.Sequential(nn.Conv1d(4, 6, 5), nn.ReLU())
    head = nn.Sequential(nn.Flatten(), nn.Linear(96, 1))
    tried: dict[str, Callable[[], nn.Module]] = {
        "TorchScript (`torch.jit.script`, `.trace`)": lambda: torch.jit.script(nn.Sequential(first, head)),
        "quantized modules": lambda: torch.ao.quantization.quantize_dynamic(
            nn.Sequential(first, head), {nn.Linear}
        ),
        "an `autograd.Function` of one's own (fused CUDA kernels of Mamba, FlashAttention)": lambda: (
            nn.Sequential(first, _Calls(_Hidden.apply), head)
        ),
        "operations without a rule (`torch.sin`)": lambda: nn.Sequential(first, _Calls(torch.sin), head),
        "`torch.vmap` over what is not linear": lambda: nn.Sequential(
            first, _Calls(torch.vmap(torch.tanh)), head
        ),
        "batch norm on the batch's own statistics": lambda: nn.Sequential(
            first, nn.BatchNorm1d(6, track_running_stats=False), head
        ),
    }
    X = torch.eye(4)[torch.randint(4, (3, 20), generator=torch.Generator().manual_seed(0))].mT.contiguous()
    found = []
    for what, build in tried.items():
        try:
            Explainer(build())(X)
        except GenoplrpError as error:
            found.append(
                {"what": what, "reason": str(error).split(". Its gradient")[0].split("; hand in")[0]}
            )
        else:
            raise AssertionError(f"{what} is no longer refused: take it off the page")
    return found


def rows(models: dict[str, Any]) -> Iterable[dict[str, str]]:
    """Rows of the page's table, in the order of the list."""
    for published in MODELS:
        found = models.get(published.name)
        if found is None:
            continue
        yield {
            "package": f"{published.package.replace(' (wheel)', '')} {found['version']}",
            "model": published.model,
            "call": f"`{published.call}`",
            "rules used": ", ".join(found["rules"]),
            "notes": published.notes,
            "time": f"{found['time']:.1f}",
        }


def write_page(results: dict[str, Any]) -> None:
    """Replace what stands between the page's marks by the tables."""
    text = PAGE.read_text(encoding="utf-8")
    refused = [{"refused": r["what"], "message": r["reason"]} for r in results["refused"]]
    for (begin, end), written in (
        (MARKS, table(list(rows(results["models"])), COLUMNS)),
        (REFUSED_MARKS, table(refused, ("refused", "message"))),
    ):
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{written}\n\n{end}{rest.split(end)[1]}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Peers as functions of (model, X, target) that return relevance like X; their results are not checked here."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Method = Callable[[nn.Module, Tensor], Tensor]


def gradient_x_input(model: nn.Module, X: Tensor) -> Tensor:
    """Plain PyTorch: the unit of the benchmarks."""
    leaf = X.detach().clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)
    return gradient * leaf.detach()


def integrated_gradients(model: nn.Module, X: Tensor, steps: int = 50) -> Tensor:
    """Integrated gradients of captum, from zero, the batch at each step."""
    from captum.attr import IntegratedGradients

    out: Tensor = IntegratedGradients(model).attribute(X, target=0, n_steps=steps, internal_batch_size=len(X))
    return out


def captum_lrp(model: nn.Module, X: Tensor) -> Tensor:
    """LRP epsilon of captum; it knows no rule for Conv1d and BatchNorm1d, so each layer is given one by hand."""
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    for module in model.modules():
        if not list(module.children()):
            module.rule = EpsilonRule()
    out: Tensor = LRP(model).attribute(X, target=0)
    return out


def zennit_composite(name: str) -> Method:
    """Return the method of a composite of zennit: ``"Epsilon"``, ``"EpsilonPlus"`` or ``"EpsilonGammaBox"``."""
    stand_in_for_torchvision()
    from zennit import composites, rules
    from zennit.attribution import Gradient

    def explain(model: nn.Module, X: Tensor) -> Tensor:
        if name == "Epsilon":
            composite: Any = composites.LayerMapComposite(
                [
                    (nn.ReLU, rules.Pass()),
                    ((nn.Conv1d, nn.Linear), rules.Epsilon()),
                ]
            )
        elif name == "EpsilonGammaBox":
            composite = composites.EpsilonGammaBox(low=X.new_zeros(1), high=X.new_ones(1))
        else:
            composite = getattr(composites, name)()
        one_hot = X.new_zeros(len(X), model(X[:1]).shape[1])
        one_hot[:, 0] = 1
        with Gradient(model=model, composite=composite) as attributor:
            _, relevance = attributor(X, one_hot)
        out: Tensor = relevance
        return out

    return explain


def deeplift_shap(model: nn.Module, X: Tensor, references: int = 20) -> Tensor:
    """DeepLIFT/SHAP of tangermeme against dinucleotide shuffles."""
    from tangermeme.deep_lift_shap import deep_lift_shap

    out: Tensor = deep_lift_shap(
        model, X, n_shuffles=references, random_state=0, device=str(X.device), warning_threshold=1e9
    )
    return out


def stand_in_for_torchvision() -> None:
    """Let zennit import without torchvision, or with one that does not fit torch: two model families' names do."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):  # a build for another torch fails while it registers its operators
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        names = {
            "torchvision.models.resnet": ("BasicBlock", "Bottleneck"),
            "torchvision.models.vgg": ("VGG",),
        }
        for full in ("torchvision", "torchvision.models", *names):
            sys.modules[full] = types.ModuleType(full)
        for full, classes in names.items():
            for cls in classes:
                setattr(sys.modules[full], cls, type(cls, (nn.Module,), {}))
            setattr(sys.modules["torchvision.models"], full.rsplit(".", 1)[1], sys.modules[full])
        sys.modules["torchvision"].models = sys.modules["torchvision.models"]  # type: ignore[attr-defined]

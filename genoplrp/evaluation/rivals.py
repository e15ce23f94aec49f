"""Other methods of explanation, called through the packages that implement them; none is written a second time here.

Gradients are PyTorch's; SmoothGrad and integrated gradients captum's; DeepLIFT/SHAP and in-silico mutagenesis
tangermeme's. Each returns contributions (N, 4, L) in units of the output, `gradient` a map (N, L) without sign.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from genoplrp.errors import MissingDependencyError
from genoplrp.evaluation.blocks import blocks
from genoplrp.threads import threads_kept

if TYPE_CHECKING:
    from torch import Tensor, nn

    from genoplrp.evaluation.job import Family, Job

STEPS = 50
NOISE = 0.1
NOISY_SAMPLES = 25
SHUFFLES = 10


class Rival(NamedTuple):
    """A method of another package.

    Attributes
    ----------
    family
        What kind of method it is, for tables.
    explain
        From a `Job` to contributions (N, 4, L) or a map (N, L).
    package
        What computes it: its version is part of what a map is made of.
    """

    family: Family
    explain: Callable[[Job], Tensor]
    package: str


def gradient(job: Job) -> Tensor:
    """Largest absolute gradient over the four bases at each position, (N, L).

    References
    ----------
    Simonyan, Vedaldi and Zisserman, *Deep inside convolutional networks*, ICLR workshop 2014.
    """
    return _batched(job, _gradient).abs().amax(dim=1)


def gradient_x_input(job: Job) -> Tensor:
    """Gradient at the base that is there, (N, 4, L).

    References
    ----------
    Shrikumar et al., *Not just a black box*, arXiv 1605.01713.
    """
    return _batched(job, lambda model, x, target: _gradient(model, x, target) * x)


def gradient_x_input_corrected(job: Job) -> Tensor:
    """Gradient times input after the mean over the four bases was taken off the gradient, (N, 4, L).

    References
    ----------
    Majdandzic et al., *Correcting gradient-based interpretations of deep neural networks for genomics*, Genome Biology
    24 (2023): the component off the simplex of one-hot sequences means nothing.
    """
    return _batched(job, lambda model, x, target: _centre(_gradient(model, x, target)) * x)


def smoothgrad(job: Job) -> Tensor:
    """Mean gradient over noisy copies of the input, corrected for the simplex, times the input, (N, 4, L).

    References
    ----------
    Smilkov et al., *SmoothGrad: removing noise by adding noise*, arXiv 1706.03825.
    """
    import torch

    captum = _captum()
    tunnel = captum.NoiseTunnel(captum.Saliency(_on_target(job.model, job.target)))

    def explain(model: nn.Module, x: Tensor, target: int) -> Tensor:
        # captum draws the noise from the global generator: seeded here, and put back afterwards.
        with torch.random.fork_rng():
            torch.manual_seed(job.seed)
            noisy: Tensor = tunnel.attribute(
                x,
                nt_type="smoothgrad",
                nt_samples=NOISY_SAMPLES,
                nt_samples_batch_size=5,
                stdevs=NOISE,
                abs=False,
            )
        return _centre(noisy) * x

    return _batched(job, explain)


def integrated_gradients(job: Job) -> Tensor:
    """Integrated gradients along the straight line from the uniform column (0.25 each), 50 steps, (N, 4, L).

    Columns without a base (padding) stay zero all along.


    References
    ----------
    Sundararajan, Taly and Yan, *Axiomatic attribution for deep networks*, ICML 2017.
    """
    integrator = _captum().IntegratedGradients(_on_target(job.model, job.target))

    def explain(model: nn.Module, x: Tensor, target: int) -> Tensor:
        attribution: Tensor = integrator.attribute(
            x,
            baselines=0.25 * x.any(dim=1, keepdim=True).expand_as(x),
            n_steps=STEPS,
            internal_batch_size=512,
        )
        return attribution

    return _batched(job, explain)


def deeplift_shap(job: Job) -> Tensor:
    """DeepLIFT/SHAP against ten dinucleotide shuffles of each sequence, (N, 4, L).

    References
    ----------
    Shrikumar, Greenside and Kundaje, *Learning important features through propagating activation differences*, ICML
    2017; Lundberg and Lee, *A unified approach to interpreting model predictions*, NeurIPS 2017.
    """
    tangermeme = _tangermeme("deep_lift_shap")

    def explain(model: nn.Module, x: Tensor) -> Tensor:
        attribution: Tensor = tangermeme.deep_lift_shap(
            model,
            x,
            target=job.target,
            n_shuffles=SHUFFLES,
            random_state=job.seed,
            batch_size=job.batch_size * 4,
            device=x.device,
        )
        return attribution

    with threads_kept():
        return _without_padding(job, explain)


def shuffles(X: Tensor, seed: int) -> Tensor:
    """Draw the ten dinucleotide shuffles that `deeplift_shap` takes as references, (N, 10, 4, L).

    Each sequence's depend on the seed and on itself, not on its batch; zero columns at its end stay there.
    """
    shuffle = _tangermeme("ersatz").dinucleotide_shuffle
    x = X.detach().cpu()
    drawn = x.new_zeros(len(x), SHUFFLES, *x.shape[1:])
    lengths = x.any(dim=1).sum(dim=1).numpy()
    with threads_kept():
        for rows, length in blocks((len(x), x.shape[2]), lengths):
            part = x[rows, :, :length]
            for k in range(SHUFFLES):
                drawn[rows, k, :, :length] = shuffle(part, n=1, random_state=[seed + k] * len(part))[:, 0]
    return drawn.to(X)


def in_silico_mutagenesis(job: Job) -> Tensor:
    """In-silico saturation mutagenesis: output for the base minus the mean over the four bases, (N, 4, L).

    References
    ----------
    Zhou and Troyanskaya, *Predicting effects of noncoding variants*, Nature Methods 12 (2015).
    """
    tangermeme = _tangermeme("saturation_mutagenesis")
    x = _tensor(job)
    with threads_kept():
        attribution: Tensor = tangermeme.saturation_mutagenesis(
            job.model, x, target=job.target, batch_size=512, device=x.device, fast=False
        )
    return attribution


RIVALS: dict[str, Rival] = {
    "gradient": Rival("gradient", gradient, "torch"),
    "gradient-x-input": Rival("gradient", gradient_x_input, "torch"),
    "gradient-x-input-corrected": Rival("gradient", gradient_x_input_corrected, "torch"),
    "smoothgrad": Rival("gradient", smoothgrad, "captum"),
    "integrated-gradients": Rival("gradient", integrated_gradients, "captum"),
    "deeplift-shap": Rival("gradient", deeplift_shap, "tangermeme"),
    "ism": Rival("perturbation", in_silico_mutagenesis, "tangermeme"),
}
"""The registry: name in tables -> rival."""


def _without_padding(job: Job, explain: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
    """Explain sequences of one length at a time, for packages that take no column without a base."""
    import torch

    x = _tensor(job)
    if job.lengths is None:
        return explain(job.model, x)
    found, model = torch.zeros_like(x), _padded(job.model, x.shape[2])
    for rows, length in blocks((len(x), x.shape[2]), job.lengths):
        found[rows, :, :length] = explain(model, x[rows, :, :length]).to(found)
    return found


def _padded(model: nn.Module, length: int) -> nn.Module:
    """Make a model of shorter sequences, which are padded to the length that the model takes."""
    from torch import nn
    from torch.nn import functional as F

    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.model(F.pad(x, (0, length - x.shape[2])))
            return output

    return Padded().train(model.training)


def _batched(job: Job, explain: Callable[[nn.Module, Tensor, int], Tensor]) -> Tensor:
    import torch

    X = _tensor(job)
    parts = [
        explain(job.model, x.detach().clone().requires_grad_(), job.target).detach()
        for x in X.split(job.batch_size)
    ]
    return torch.cat(parts) if parts else torch.zeros_like(X)


def _tensor(job: Job) -> Tensor:
    import torch

    device = next((p.device for p in job.model.parameters()), torch.device("cpu"))
    return torch.as_tensor(np.asarray(job.X), dtype=torch.float32, device=device)


def _gradient(model: nn.Module, x: Tensor, target: int) -> Tensor:
    import torch

    return torch.autograd.grad(_on_target(model, target)(x).sum(), x)[0]


def _on_target(model: nn.Module, target: int) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        output: Tensor = model(x)
        return output if output.dim() == 1 else output[:, target]

    return forward


def _centre(gradient: Tensor) -> Tensor:
    return gradient - gradient.mean(dim=1, keepdim=True)


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError as error:
        raise MissingDependencyError(
            "SmoothGrad and integrated gradients need captum: pip install 'genoplrp[benchmark]'"
        ) from error
    return captum.attr


def _tangermeme(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"tangermeme.{module}")
    except ImportError as error:
        raise MissingDependencyError(
            "DeepLIFT/SHAP and in-silico mutagenesis need tangermeme: pip install 'genoplrp[benchmark]'"
        ) from error

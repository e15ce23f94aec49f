"""Published splice networks as torch modules that give one position's scores, read from the wheels that ship them.

SpliceAI (``pip install --no-deps spliceai``; weights CC BY-NC 4.0) and MMSplice (``pip install --no-deps mmsplice``;
MIT) hold Keras files; h5py reads their weights, no Keras is needed. SpliceAI is asked for the window's centre only, so
convolutions are unpadded and leave out what the centre does not see: the same number at a third of the cost.

References
----------
Jaganathan et al. 2019, Cell 176 (SpliceAI-10k); Cheng et al. 2019, Genome Biology 20 (MMSplice).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

#: Kernel width, dilation, and the step between the positions that the centre depends on, of SpliceAI's four groups.
GROUPS = ((11, 1, 1), (11, 4, 1), (21, 10, 5), (41, 25, 25))
CONTEXT = 5000


class Residual(nn.Module):
    """Batch norm, ReLU, convolution, twice, and the sum with what came in."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.reach = (width // 2) * dilation * 2
        self.norms = nn.ModuleList(nn.BatchNorm1d(32, eps=1e-3) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv1d(32, 32, width, dilation=dilation) for _ in range(2))
        # One module a call: rivals that work by hooks take no other.
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for norm, relu, conv in zip(self.norms, self.relus, self.convs, strict=True):
            h = conv(relu(norm(h)))
        return x[..., self.reach : x.shape[-1] - self.reach] + h


class SpliceAI(nn.Module):
    """SpliceAI-10k at the centre of a window of 10,001 bp: scores before the softmax of (neither, acceptor, donor)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 32, 1)
        self.skips = nn.ModuleList(nn.Conv1d(32, 32, 1) for _ in range(5))
        self.groups = nn.ModuleList(
            nn.ModuleList(Residual(width, dilation // step) for _ in range(4))
            for width, dilation, step in GROUPS
        )
        self.last = nn.Conv1d(32, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != 2 * CONTEXT + 1:
            raise ValueError(f"SpliceAI at the centre needs {2 * CONTEXT + 1} bp; got {x.shape[-1]}")
        h = self.first(x)
        total = self.skips[0](_centre(h))
        step = 1
        for group, skip, (_, _, wanted) in zip(self.groups, self.skips[1:], GROUPS, strict=True):
            if wanted > step:
                every = wanted // step
                h = h[..., (h.shape[-1] // 2) % every :: every]
                step = wanted
            for block in group:
                h = block(h)
            total = total + skip(_centre(h))
        return self.last(total)[..., 0]


class Donor(nn.Module):
    """MMSplice's donor module, 5 bp of exon and 13 of intron: one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.dense1, self.dense2, self.last = nn.Linear(72, 128), nn.Linear(128, 64), nn.Linear(64, 1)
        self.norm1, self.norm2 = (nn.BatchNorm1d(n, eps=1e-3) for n in (128, 64))
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu1(self.norm1(self.dense1(x.transpose(1, 2).flatten(1))))
        return self.last(self.relu2(self.norm2(self.dense2(h))))


class Acceptor(nn.Module):
    """MMSplice's acceptor module, 50 bp of intron and 3 of exon: one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(4, 32, 15, padding=7), nn.Conv1d(32, 32, 1)
        self.norm1, self.norm2 = (nn.BatchNorm1d(32, eps=1e-3) for _ in range(2))
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.last = nn.Linear(53 * 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(self.relu1(self.conv1(x)))
        h = self.norm2(self.relu2(self.conv2(h)))
        return self.last(h.transpose(1, 2).flatten(1))


def load_spliceai(replicate: int = 1) -> SpliceAI:
    """Load one of the five networks."""
    weights = _weights(_wheel("spliceai") / "models" / f"spliceai{replicate}.h5")
    model = SpliceAI()
    convs = iter(f"conv1d_{k}" for k in range(1, 40))
    norms = iter(f"batch_normalization_{k}" for k in range(1, 33))
    _fill(model.first, weights[next(convs)])
    _fill(model.skips[0], weights[next(convs)])
    for group, skip in zip(model.groups, model.skips[1:], strict=True):
        for block in group:
            for norm, conv in zip(block.norms, block.convs, strict=True):
                _fill(norm, weights[next(norms)])
                _fill(conv, weights[next(convs)])
        _fill(skip, weights[next(convs)])
    _fill(model.last, weights[next(convs)])
    return model.eval()


def load_mmsplice(module: str) -> nn.Module:
    """Load the "Donor" or the "Acceptor" module."""
    weights = _weights(_wheel("mmsplice") / "models" / f"{module}.h5")
    layers = {
        "Donor": (Donor, ("dense1", "norm1", "dense2", "norm2", "last")),
        "Acceptor": (Acceptor, ("conv1", "norm1", "conv2", "norm2", "last")),
    }
    kind, names = layers[module]
    keras = {
        "Donor": ("dense1", "batch_normalization_1", "dense2", "batch_normalization_2", "dense_1"),
        "Acceptor": (
            "convSpliceSite",
            "batch_normalization_1",
            "conv1by1",
            "batch_normalization_2",
            "denseSS",
        ),
    }[module]
    model: nn.Module = kind()
    for ours, theirs in zip(names, keras, strict=True):
        _fill(getattr(model, ours), weights[theirs])
    return model.eval()


def _centre(h: Tensor) -> Tensor:
    middle = h.shape[-1] // 2
    return h[..., middle : middle + 1]


def _wheel(package: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the {package} cells need its weights: pip install --no-deps {package}")
    return Path(found.submodule_search_locations[0])


def _weights(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read every layer's arrays by their short names."""
    import h5py

    found: dict[str, dict[str, np.ndarray]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.setdefault(name.partition("/")[0], {})[_array_name(name)] = np.asarray(item)

    with h5py.File(path) as archive:
        archive["model_weights"].visititems(visit)
    return found


def _array_name(path: str) -> str:
    return path.rpartition("/")[2].partition(":")[0]


def _fill(layer: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Put a Keras layer's arrays into ours; kernels are (width, in, out) or (in, out) there."""
    names = {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }
    with torch.no_grad():
        for name, array in arrays.items():
            value = torch.as_tensor(array.T.copy() if name == "kernel" else array)
            getattr(layer, "weight" if name == "kernel" else names.get(name, name)).copy_(value)

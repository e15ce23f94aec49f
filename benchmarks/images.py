"""The paper's image figures on planted objects: ``python -m benchmarks.images --out images`` (about ten CPU minutes).

Handwritten digits (scikit-learn) are pasted at random places onto crops of photographed textures (scikit-image's brick,
grass and gravel), so that every pixel of the object, and what was beneath it, is known. A VGG- and a ResNet-shaped
network learn which digit it is. Then p is swept for PLRP-lambda and PLRP-M with the engine's 2d rules: sparsity,
localization, deletion by the true background, max-sensitivity; beside them the plain map, thresholded until it is as
sparse as PLRP-lambda's. Writes ``sweep.csv``, ``models.csv``, ``sweep.png`` and
``heatmaps.png``. The package itself holds no image code.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from genoplrp.evaluation.controls import threshold_at_gini
from genoplrp.evaluation.localization import (
    average_precision,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from genoplrp.evaluation.sparsity import gini
from genoplrp.relevance import Explainer, Pruning

SIZE, GLYPH = 32, 16
TEXTURES = ("brick", "grass", "gravel")
SWEEP = tuple(round(0.05 * k, 2) for k in range(20))
NOISE, DRAWS = 0.02, 5
DELETED = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
EXAMPLE_P = (0.0, 0.15, 0.3, 0.5)


class Composites(NamedTuple):
    """Images (N, 1, H, W) in 0 to 1, the same without object, the object's pixels (N, H, W), and its class (N,)."""

    images: Tensor
    empty: Tensor
    mask: np.ndarray
    label: Tensor


class Vgg(nn.Module):
    """Pairs of 3 x 3 convolutions and pooling, two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in (16, 32, 64):
            for _ in range(2):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(x))
        return out


class Block(nn.Module):
    """Two convolutions and the shortcut past them."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.short = (
            nn.Identity()
            if stride == 1 and before == width
            else nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        out: Tensor = self.relu2(h + self.short(x))
        return out


class ResNet(nn.Module):
    """A stem, five residual blocks, the mean over the plane, one dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(
            Block(16, 16, 1), Block(16, 32, 2), Block(32, 32, 1), Block(32, 64, 2), Block(64, 64, 1)
        )
        self.last = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.blocks(self.stem(x)).mean(dim=(2, 3)))
        return out


NETWORKS: dict[str, type[nn.Module]] = {"VGG": Vgg, "ResNet": ResNet}


def composites(n: int, *, part: str, seed: int) -> Composites:
    """Paste digits of one part ("train", "test") onto crops of one part of the textures: left or right halves."""
    from skimage import data as pictures
    from skimage.transform import resize
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    own = order[:1300] if part == "train" else order[1300:]
    chosen = rng.choice(own, n)
    glyphs = np.stack([resize(digits.images[k] / 16, (GLYPH, GLYPH), order=1) for k in own])
    glyphs = glyphs[_index(own, chosen)]
    textures = [np.asarray(getattr(pictures, name)(), dtype=np.float32) / 255 for name in TEXTURES]
    empty = np.empty((n, SIZE, SIZE), dtype=np.float32)
    for row in range(n):
        texture = textures[rng.integers(len(textures))]
        half = texture.shape[1] // 2
        low, high = (0, half - SIZE) if part == "train" else (half, texture.shape[1] - SIZE)
        y, x = rng.integers(0, texture.shape[0] - SIZE), rng.integers(low, high)
        empty[row] = texture[y : y + SIZE, x : x + SIZE]
    images, mask = empty.copy(), np.zeros((n, SIZE, SIZE), dtype=bool)
    places = rng.integers(0, SIZE - GLYPH + 1, size=(n, 2))
    for row, (y, x) in enumerate(places):
        ink = glyphs[row]
        here = (row, slice(y, y + GLYPH), slice(x, x + GLYPH))
        images[here] = images[here] * (1 - ink) + ink * 0.95
        mask[here] = ink > 0.25
    return Composites(
        torch.from_numpy(images)[:, None],
        torch.from_numpy(empty)[:, None],
        mask,
        torch.from_numpy(digits.target[chosen]),
    )


def trained(name: str, data: Composites, folder: Path, *, epochs: int = 8, seed: int = 0) -> nn.Module:
    """Train a network, or load it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = NETWORKS[name]()
        path = folder / f"{name}.pt"
        if path.exists():
            model.load_state_dict(torch.load(path, weights_only=True))
            return model.eval()
        steps = epochs * -(-len(data.images) // 64)
        optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
        for _ in range(epochs):
            for some in torch.randperm(len(data.images)).split(64):
                loss = nn.functional.cross_entropy(model(data.images[some]), data.label[some])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    torch.save(model.state_dict(), path)
    return model.eval()


def sweep(model: nn.Module, data: Composites, rules: str = "gamma") -> pd.DataFrame:
    """Score PLRP-lambda, PLRP-M and the plain map thresholded to the sparsity of the first, over p."""
    rows: list[dict[str, object]] = []
    rng = torch.Generator().manual_seed(0)
    few = slice(0, 40)
    noisy = [
        data.images[few] + NOISE * torch.randn(data.images[few].shape, generator=rng) for _ in range(DRAWS)
    ]
    span = _output(model, data.images, data.label) - _output(model, data.empty, data.label)
    for method in ("lambda", "M"):
        explain = Explainer(
            model, rules, Pruning(p=0.1, method=method), diagnostics=False, keep_intermediate=True
        )
        plain = Explainer(model, rules, Pruning(p=0.1, method=method), diagnostics=False)
        plain_maps = np.empty(0)
        changed = [list(plain.sweep(images, data.label[few], SWEEP)) for images in noisy]
        for k, (p, e) in enumerate(explain.sweep(data.images, data.label, SWEEP)):
            maps = e.relevance.sum(1).flatten(1).double().numpy()
            plain_maps = maps if p == 0 else plain_maps
            before = e.relevance[few].flatten(1)
            size = before.norm(dim=1).clamp(min=1e-12)
            moved = torch.stack([(c[k][1].relevance.flatten(1) - before).norm(dim=1) / size for c in changed])
            inner = [gini(np.abs(r.flatten(1).double().numpy())).mean() for r in e.intermediate.values()]
            rows.append(
                {
                    "method": method,
                    "p": p,
                    "gini_inside": float(np.mean(inner[1:])),
                    "max_sensitivity": float(moved.amax(0).mean()),
                    **_scores(model, data, maps, span),
                }
            )
            if method == "lambda":
                cut = threshold_at_gini(plain_maps, gini(np.maximum(maps, 0)))
                rows.append({"method": "threshold", "p": p, **_scores(model, data, cut, span)})
    return pd.DataFrame(rows)


def _scores(model: nn.Module, data: Composites, maps: np.ndarray, span: Tensor) -> dict[str, float]:
    mask = data.mask.reshape(len(maps), -1)
    return {
        "gini": gini(maps).mean(),
        "rma": relevance_mass_accuracy(maps, mask).mean(),
        "rra": relevance_rank_accuracy(maps, mask).mean(),
        "average_precision": average_precision(maps, mask).mean(),
        "deletion": _deletion(model, data, maps, span),
    }


def _deletion(model: nn.Module, data: Composites, maps: np.ndarray, span: Tensor) -> float:
    """Mean share of the output's span that remains while the foremost pixels give way to the true background."""
    ranks = torch.from_numpy((-maps).argsort(1).argsort(1)).reshape(len(maps), 1, SIZE, SIZE)
    floor = _output(model, data.empty, data.label)
    remains = [
        (
            _output(model, torch.where(ranks < share * SIZE**2, data.empty, data.images), data.label) - floor
        ).mean()
        / span.mean()
        for share in DELETED
    ]
    return float(torch.stack(remains).mean())


def _output(model: nn.Module, images: Tensor, label: Tensor) -> Tensor:
    with torch.no_grad():
        parts = [model(some) for some in images.split(100)]
    return torch.cat(parts).gather(1, label[:, None])[:, 0]


def _index(own: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    order = np.argsort(own)
    found: np.ndarray = order[np.searchsorted(own[order], chosen)]
    return found


def draw_sweep(table: pd.DataFrame, path: Path) -> None:
    """Draw every score against p, a column for each, a colour for each network, a line style for each method."""
    import matplotlib.pyplot as plt

    shown = {
        "gini": "sparsity (Gini)",
        "rma": "relevance mass accuracy",
        "average_precision": "average precision",
        "deletion": "deletion (lower: faster)",
        "max_sensitivity": "max-sensitivity",
    }
    figure, axes = plt.subplots(1, len(shown), figsize=(14, 3), constrained_layout=True)
    for ax, (metric, title) in zip(axes, shown.items(), strict=True):
        for (network, method), part in table.groupby(["network", "method"], sort=False):
            colour = {"VGG": "#0072b2", "ResNet": "#d55e00"}[network]
            ax.plot(
                part["p"],
                part[metric],
                {"lambda": "-", "M": "--", "threshold": ":"}[method],
                color=colour,
                label=f"{network}, {method}",
            )
        ax.set(title=title, xlabel="p", xlim=(0, 0.95))
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].set_ylim(0, min(axes[-1].get_ylim()[1], 3))
    axes[0].legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_heatmaps(models: dict[str, nn.Module], data: Composites, path: Path, n: int = 4) -> None:
    """Draw images, their objects and their maps at a few p, negative blue, positive red."""
    import matplotlib.pyplot as plt

    columns = ["image", "object", *(f"p = {p:g}" if p else "LRP" for p in EXAMPLE_P)]
    rows = [(name, k) for name in models for k in range(n)]
    figure, axes = plt.subplots(
        len(rows), len(columns), figsize=(1.25 * len(columns), 1.25 * len(rows)), constrained_layout=True
    )
    for name, model in models.items():
        explain = Explainer(model, "gamma", Pruning(p=0.1), diagnostics=False)
        maps = [
            e.relevance.sum(1).numpy() for _, e in explain.sweep(data.images[:n], data.label[:n], EXAMPLE_P)
        ]
        for k in range(n):
            line = axes[rows.index((name, k))]
            line[0].imshow(data.images[k, 0], cmap="gray", vmin=0, vmax=1)
            line[1].imshow(data.mask[k], cmap="gray")
            line[0].set_ylabel(f"{name}: {int(data.label[k])}", fontsize=8)
            for ax, values in zip(line[2:], maps, strict=True):
                limit = np.quantile(np.abs(maps[0][k]), 0.995)
                ax.imshow(values[k], cmap="RdBu_r", vmin=-limit, vmax=limit)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    for ax, title in zip(axes[0], columns, strict=True):
        ax.set_title(title, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Train, sweep, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--n", type=int, default=150, help="images that are explained")
    parser.add_argument("--train", type=int, default=6000, help="images that are trained on")
    given = parser.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    learn, test = composites(given.train, part="train", seed=1), composites(2 * given.n, part="test", seed=2)
    models, tables, accuracy = {}, [], []
    for name in NETWORKS:
        model = models[name] = trained(name, learn, out)
        with torch.no_grad():
            right = model(test.images).argmax(1) == test.label
        accuracy.append(
            {
                "network": name,
                "accuracy": float(right.float().mean()),
                "images": len(right),
                "object": float(test.mask.mean()),
            }
        )
        rows = torch.nonzero(right)[: given.n, 0]
        some = Composites(test.images[rows], test.empty[rows], test.mask[rows.numpy()], test.label[rows])
        table = sweep(model, some)
        table.insert(0, "network", name)
        tables.append(table)
        print(accuracy[-1], flush=True)
    result = pd.concat(tables, ignore_index=True)
    result.round(4).to_csv(out / "sweep.csv", index=False)
    pd.DataFrame(accuracy).to_csv(out / "models.csv", index=False)
    draw_sweep(result, out / "sweep.png")
    draw_heatmaps(models, test, out / "heatmaps.png")


if __name__ == "__main__":
    main()

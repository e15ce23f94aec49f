"""Draw docs/img/spliceai.png and spliceai_flow.png: ``python docs/splice_picture.py`` (two minutes on two cores).

Needs the weights: ``pip install --no-deps spliceai`` and the extra ``genoplrp[keras]``.
"""

from importlib.util import find_spec
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch

import genoplrp as gp
from genoplrp import plotting
from genoplrp.relevance import GradientTimesInput
from genoplrp.sequence import Genome, codes_to_one_hot, place_windows, read_regions

ROOT = Path(__file__).parent.parent
LENGTH, HALF = 10_001, 34
FEATURES = {
    "donors": [(-HALF, 1, "exon"), (1, 3, "GT")],
    "acceptors": [(-25, -3, "polypyrimidine tract"), (-2, 0, "AG"), (0, HALF, "exon")],
}


def main() -> None:
    """Explain a usual donor and acceptor, read what flows where for a donor, draw."""
    spec = find_spec("spliceai")
    assert spec is not None and spec.origin is not None, "pip install --no-deps spliceai"
    model = gp.load_keras(Path(spec.origin).parent / "models" / "spliceai1.h5")
    data = ROOT / "data" / "human_splice"
    genome = Genome(data / "chr22_20M_21M.fa.gz")
    figure, axes = plt.subplots(3, 1, figsize=(13, 6.2), layout="constrained")
    rows = iter(axes)
    for site, column in (("donors", 2), ("acceptors", 1)):
        windows = place_windows(read_regions(str(data / f"{site}.bed")).head(25), genome, LENGTH)
        X = torch.from_numpy(codes_to_one_hot(windows.codes(0, len(windows))))

        def target(y: torch.Tensor, column: int = column) -> torch.Tensor:
            return y[:, 0, column]

        e = gp.Explainer(model, "gamma", gp.Pruning(p=0.25), diagnostics=False, batch_size=4)(X, target)
        chosen = int(np.argsort(e.prediction.numpy())[len(X) // 2])  # the median prediction: no picking
        one = X[chosen : chosen + 1]
        maps = {"PLRP, p = 0.25": e.relevance[chosen]}
        if site == "donors":
            maps = {"gradient x input": GradientTimesInput(model)(one, target).relevance[0]} | maps
            draw_flow(model, X[3:4], target)
        for name, r in maps.items():
            near = r[:, LENGTH // 2 - HALF : LENGTH // 2 + HALF]
            title = f"{site[:-1]} of {windows.table['name'].iloc[chosen]}: {name}"
            gp.plot_logo(near, next(rows), start=-HALF, highlight=FEATURES[site], title=title)
    plotting.save_figure(figure, Path(__file__).parent / "img" / "spliceai.png", dpi=110, overwrite=True)


def draw_flow(model: torch.nn.Module, one: torch.Tensor, target: object) -> None:
    """Draw which channels of four of the 39 convolutions a donor's prediction passes through."""
    explain = gp.Explainer(model, "gamma", gp.Pruning(p=0.25), diagnostics=False, batch_size=4)
    found = gp.flow(explain, one, target, share=0.8, most=6)  # type: ignore[arg-type]
    figure = found.plot(0.7, figure=mpl.figure.Figure())
    plotting.save_figure(figure, Path(__file__).parent / "img" / "spliceai_flow.png", dpi=90, overwrite=True)


if __name__ == "__main__":
    main()

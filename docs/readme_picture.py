"""Draw the README's picture, docs/img/logo.png: ``python docs/readme_picture.py`` (a minute on one core)."""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch

import genoplrp as gp
from genoplrp import plotting


def main() -> None:
    """Train, explain, draw."""
    data = gp.simulate(gp.load_spec("tal_gata@1"), n=8000, seed=0, progress=False)
    fit = gp.train(data, architecture="koo", seed=0, epochs=12, progress=False)
    task = data.tasks.index("TAL1")
    test = data.subset((data.split == "test") & (data.labels[:, task] == 1))
    X, sites = torch.from_numpy(test.one_hot()), test.instances_of(task)
    count = np.bincount(sites["sequence"], minlength=len(test))
    # The strongest prediction of those with most sites: one rule, no picking.
    chosen = int(np.lexsort((fit.logits(X)[:, task], count))[-1])
    one = X[chosen : chosen + 1]
    plotting.plot_comparison(
        one[0],
        {
            "LRP": gp.lrp(fit.model, one, target=task)[0],
            "PLRP, p = 0.05": gp.plrp(fit.model, one, target=task, p=0.05)[0],
            "consensus": gp.consensus(fit.model, one, target=task).relevance[0],
        },
        sites[sites["sequence"] == chosen],
        truth_height=test.information(task)[chosen],
        figure=plt.figure(figsize=(13, 4.6)),
    )
    path = Path(__file__).parent / "img" / "logo.png"
    plotting.save_figure(plt.gcf(), path, dpi=140, overwrite=True)


if __name__ == "__main__":
    main()

"""The figure that opens docs/results.md: which method, on which kind of task, for what price.

Run: python -m benchmarks.overview --planted docs/results/summary.csv --real docs/results/real.csv --out overview.png

Means over the cells of the two tables (`benchmarks.evidence`, `benchmarks.real`); nothing is computed here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

#: Label, and price in forward and backward passes of one explanation of a sequence of 200 bp, by method.
METHODS = {
    "gradient-x-input": ("gradient x input", "1 pass"),
    "lrp@gamma": ("LRP", "1 pass"),
    "plrp-lambda-0.25@gamma": ("PLRP, p = .25", "1 pass"),
    "consensus": ("consensus", "12 to 16 passes"),
    "deeplift-shap": ("DeepLIFT/SHAP", "10 to 20 passes"),
    "integrated-gradients": ("integrated gradients", "50 passes"),
    "ism": ("in-silico mutagenesis", "600 forward passes"),
}
OWN = ("lrp@gamma", "plrp-lambda-0.25@gamma", "consensus")
METRICS = {
    "average_precision": ("ranking of bases (AP)", "o"),
    "rma": ("share of relevance on the site (RMA)", "s"),
}


def means(planted: pd.DataFrame, real: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the mean of both metrics over cells for each method, of planted and of real tasks."""
    planted = planted.assign(cell=planted["dataset"] + planted["architecture"])
    real = real.assign(metric=real["metric"].replace({"ap": "average_precision"}))
    found = {}
    for name, table in (("planted", planted), ("real", real)):
        part = table[table["method"].isin(METHODS) & table["metric"].isin(METRICS)]
        wide = part.pivot_table(index=["cell", "metric"], columns="method", values="mean").dropna()
        found[name] = wide.groupby("metric").mean().T.loc[list(METHODS)]
    return found


def draw(tables: dict[str, pd.DataFrame], cells: dict[str, int], path: Path) -> None:
    """Draw a panel for each kind of task, a line for each method."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    titles = {
        "planted": "several sites, anywhere, on either strand\n(planted motifs: {} cells)",
        "real": "one site with its place and strand\n(splice sites, translation starts: {} cells)",
    }
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, constrained_layout=True)
    for ax, (name, table) in zip(axes, tables.items(), strict=True):
        for row, method in enumerate(table.index):
            values = table.loc[method, list(METRICS)]
            colour = "#d55e00" if method in OWN else "#0072b2"
            ax.plot(values, [row, row], color=colour, alpha=0.35, lw=3, zorder=1)
            for metric, (_, marker) in METRICS.items():
                ax.plot(values[metric], row, marker, color=colour, ms=7)
        for metric, (_, marker) in METRICS.items():
            best = table[metric].idxmax()
            ax.plot(
                table.loc[best, metric], list(table.index).index(best), marker, ms=13, mfc="none", mec="k"
            )
        ax.set(title=titles[name].format(cells[name]), yticks=range(len(table)))
        ax.set_yticklabels([f"{label}  ({price})" for label, price in METHODS.values()])
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    for tick, method in zip(axes[0].get_yticklabels(), METHODS, strict=True):
        tick.set_color("#d55e00" if method in OWN else "#0072b2")
    handles = [
        Line2D([], [], color="#555555", marker=marker, ls="", label=label)
        for label, marker in METRICS.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Read the tables and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--planted", type=Path, required=True, help="summary.csv of benchmarks.evidence")
    parser.add_argument("--real", type=Path, required=True, help="real.csv of benchmarks.real")
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    given = parser.parse_args()
    planted, real = pd.read_csv(given.planted), pd.read_csv(given.real)
    tables = means(planted, real)
    for name, table in tables.items():
        print(name, table.round(3).to_string(), sep="\n")
    cells = {"planted": len(planted.groupby(["dataset", "architecture"])), "real": real["cell"].nunique()}
    draw(tables, cells, given.out)


if __name__ == "__main__":
    main()

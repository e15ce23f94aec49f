"""What `benchmarks.real` writes of its scores: means and paired differences, as a table, as a page and as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from genoplrp.evaluation.statistics import mean_interval

MARKDOWN_HEAD = """# Real cells: all scores

Written by `python -m benchmarks.real`. Means over sequences; in brackets the consensus less the method, with its 95 %
bootstrap interval over sequences, paired. Pearson and Spearman are with the effects of substitutions, deletion is the
mean fall of the logit when a map's ten foremost bases are resampled. What is measured, and on what:
[Results](../results.md#real-sites).
"""


def compare(scores: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return each method's means, and the paired differences of the consensus from it with their intervals."""
    rows = []
    for name, table in scores.items():
        for metric in table.columns.drop("ms"):
            row = {"method": name, "metric": metric, "mean": table[metric].mean(), "n": len(table)}
            if name != "consensus" and "consensus" in scores:
                found = mean_interval([(scores["consensus"][metric] - table[metric]).to_numpy()])
                row |= {"difference": found[0], "low": found[1], "high": found[2]}
            rows.append(row)
        rows.append({"method": name, "metric": "ms", "mean": table["ms"].mean(), "n": len(table)})
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame, invariance: pd.DataFrame) -> str:
    """Write all cells: means, and in brackets the consensus less the method with its interval."""
    shown = {
        "rma": "RMA",
        "ap": "AP",
        "pearson": "Pearson",
        "spearman": "Spearman",
        "deletion": "deletion",
        "dinucleotide": "dinucleotide",
    }
    lines = [MARKDOWN_HEAD]
    for cell, part in table.groupby("cell", sort=False):
        found = invariance.set_index("cell").loc[cell, "invariance"]
        metrics = [metric for metric in shown if metric in set(part["metric"])]
        lines += [
            f"## {cell}",
            "",
            f"{int(part['n'].max())} sequences; {found}.",
            "",
            "| method | " + " | ".join(shown[metric] for metric in metrics) + " | ms |",
            "|" + " --- |" * (len(metrics) + 2),
        ]
        for method, own in part.groupby("method", sort=False):
            rows = own.set_index("metric")
            texts = []
            for metric in metrics:
                row = rows.loc[metric]
                text = "" if np.isnan(row["mean"]) else f"{row['mean']:.3f}"
                if not np.isnan(row["difference"]):
                    text += f" ({row['difference']:+.3f}: {row['low']:+.3f}, {row['high']:+.3f})"
                texts.append(text)
            lines.append(f"| `{method}` | " + " | ".join(texts) + f" | {rows.loc['ms', 'mean']:.1f} |")
        lines.append("")
    return "\n".join(lines)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw RMA, AP and the correlation with mutagenesis of some methods, a row for each cell."""
    import matplotlib.pyplot as plt

    shown = {
        "consensus": ("consensus", "#d55e00", "o"),
        "plrp-lambda-0.25@gamma": ("PLRP, one pass", "#e69f00", "s"),
        "lrp@gamma": ("LRP, one pass", "#f0c987", "s"),
        "integrated-gradients": ("integrated gradients", "#0072b2", "v"),
        "deeplift-shap": ("DeepLIFT/SHAP", "#56b4e9", "^"),
        "ism": ("in-silico mutagenesis", "#444444", "D"),
    }
    metrics = {
        "rma": "share of relevance on the site",
        "ap": "ranking of its bases (AP)",
        "pearson": "agreement with mutagenesis",
    }
    names = list(dict.fromkeys(table["cell"]))
    figure, axes = plt.subplots(
        1, 3, figsize=(11, 0.34 * len(names) + 1.3), sharey=True, constrained_layout=True
    )
    for ax, (metric, title) in zip(axes, metrics.items(), strict=True):
        part = table[table["metric"] == metric]
        for method, (label, colour, marker) in shown.items():
            if metric == "pearson" and method == "ism":
                continue
            own = part[part["method"] == method].set_index("cell")["mean"].reindex(names)
            ax.plot(own, range(len(names)), marker, color=colour, label=label, ms=6, alpha=0.9)
        ax.set(title=title, yticks=range(len(names)), yticklabels=names, xlim=(None, 1.02))
        ax.grid(axis="y", alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)

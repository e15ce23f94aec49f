"""The tables and the report of a benchmark, from what its cells left on disk; nothing is trained or explained here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genoplrp.evaluation.cells import NO_SCORES, NO_SEQUENCE, CellRun
from genoplrp.evaluation.plan import AVERAGES, Plan
from genoplrp.evaluation.robustness import agreement
from genoplrp.evaluation.statistics import compare_methods, summarise_methods
from genoplrp.formats.table import write_csv
from genoplrp.scores import described, shown_in

if TYPE_CHECKING:
    import pandas as pd

_PREFACE = """\
Data sets: {datasets} ({n_sequences} sequences where simulated). Networks: {architectures}. Training seeds: {seeds}.
Explained: correctly predicted positives of the test part, at most {n_explain} for each network.

Means over sequences and seeds:

{metrics}

`insertion` and `deletion` are means over steps up to 30 %, in units of the mean output above that of shuffled
sequences. The best of each column is bold (`pwm-scan` is an oracle and `random` a baseline, no rivals; a random map
shares its relevance evenly, so `weakest_share` says something only beside `instance_recall`). Intervals, all metrics
and all comparisons are in the CSV files.
"""
_MANY_SEEDS = """\
Intervals are 95 % intervals (Student's t) over training seeds and sequences: with few seeds they are wide, since a few
networks show little of how networks differ.
"""
_ONE_SEED = """\
There is one training seed: intervals and p-values are over the sequences of that network alone, and say nothing of
another training run. Three seeds and more can say how networks differ.
"""
_NO_RIVALS = ("pwm-scan", "random")
_BEST = {"higher": "max", "lower": "min"}


def write_report(
    plan: Plan,
    cells: Sequence[CellRun],
    out: Path,
    *,
    figures: bool = True,
    left_out: Sequence[CellRun] = (),
) -> pd.DataFrame:
    """Gather the scores of all cells, and write tables, figures and a report.

    Parameters
    ----------
    plan : Plan
        What was compared.
    cells : sequence of CellRun
        Cells that are complete.
    out : Path
        Folder of the benchmark.
    figures : bool
        Draw figures.
    left_out : sequence of CellRun
        Cells whose networks have not learnt; the report names them.

    Returns
    -------
    pandas.DataFrame
        All scores, one row per cell, method and sequence. Written: ``results.parquet`` (``results.csv.gz`` where
        pyarrow is missing), ``summary.csv``, ``comparisons.csv``, ``agreement.csv`` (between training seeds),
        ``sanity.csv``, ``timing.csv``, ``models.csv``, ``failures.csv`` (empty if nothing failed), ``figures/`` and
        ``report.md``. A method that failed has its reason under ``error``.

    Examples
    --------
    >>> write_report(plan, cells, Path("benchmark"))    # doctest: +SKIP
    """
    import pandas as pd

    results = pd.concat([cell.scores() for cell in cells], ignore_index=True)
    metrics = [name for name in results.columns if name not in NO_SCORES]
    scored = results[results["sequence"] != NO_SEQUENCE]
    summary = summarise_methods(scored, metrics)
    known = set(scored["method"])
    pairs = [pair for pair in comparison_pairs(plan.methods) if known.issuperset(pair)]
    compared = [name for name in shown_in("comparison") if name in metrics]
    comparisons = compare_methods(scored, pairs, compared) if pairs else pd.DataFrame()
    timing = _timings(cells)
    _write_results(results, out)
    write_csv(summary, out / "summary.csv", overwrite=True)
    write_csv(comparisons, out / "comparisons.csv", overwrite=True)
    write_csv(timing, out / "timing.csv", overwrite=True)
    write_csv(_models(cells), out / "models.csv", overwrite=True)
    write_csv(seed_agreement(plan, cells), out / "agreement.csv", overwrite=True)
    sanity = [cell.sanity() for cell in cells]
    write_csv(pd.concat(sanity, ignore_index=True), out / "sanity.csv", overwrite=True)
    failed = _failures(cells)
    write_csv(failed, out / "failures.csv", overwrite=True)
    drawn: list[str] = []
    if figures and len(summary):
        from genoplrp.evaluation.figures import draw_benchmark

        drawn = draw_benchmark(summary, timing, out / "figures")
    (out / "report.md").write_text(
        _report(plan, left_out, scored, failed, summary, comparisons, timing, drawn)
    )
    return results


def comparison_pairs(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Choose what is compared with what: every PLRP map with its plain LRP, its controls, and the rivals.

    Parameters
    ----------
    methods : sequence of str
        Full names.

    Returns
    -------
    list of (str, str)
        Method and reference.

    Examples
    --------
    >>> comparison_pairs(["ism", "lrp@gamma", "plrp-auto@gamma", "sharpen:plrp-auto@gamma"])[0]
    ('plrp-auto@gamma', 'lrp@gamma')
    """
    known = set(methods)
    rivals = [name for name in ("integrated-gradients", "deeplift-shap", "ism") if name in known]
    pairs = []
    for name in methods:
        if name.startswith("pruned-"):
            pairs.append((name, name.partition(":")[2]))
        if not name.startswith(
            ("plrp-", "knockout:plrp-", "path:", "mean:", "consensus", "views:lrp", "agreement:lrp")
        ):
            continue
        plain = f"lrp@{name.rpartition('@')[2]}"
        candidates = [plain, f"threshold:{name}", f"sharpen:{name}", f"contiguity:{plain}", *rivals]
        pairs += [(name, reference) for reference in candidates]
        if name.startswith("consensus"):
            pairs += _pairs_of_consensus(name, ["lrp@gamma", *rivals])
    return [pair for pair in dict.fromkeys(pairs) if known.issuperset(pair)]


def _pairs_of_consensus(name: str, rivals: Sequence[str]) -> list[tuple[str, str]]:
    """Compare with maps that are averaged as it is, and where it weighs neighbours with those that do."""
    pairs = [(name, reference) for reference in ("lrp@gamma", "lrp@gamma-all")]
    pairs += [(name, f"{of}:{rival}") for of in AVERAGES for rival in rivals]
    return pairs + [(f"contiguity:{name}", f"contiguity:{rival}") for rival in rivals]


def seed_agreement(plan: Plan, cells: Sequence[CellRun]) -> pd.DataFrame:
    """Compare the maps of networks that differ only in their training seed, on the sequences that both explain.

    Parameters
    ----------
    plan : Plan
        What was compared.
    cells : sequence of CellRun
        Cells that are complete.

    Returns
    -------
    pandas.DataFrame
        ``dataset, architecture, method, seeds, n``, and the mean ``cosine``, ``spearman`` and ``top_k`` of
        `genoplrp.evaluation.agreement`; empty with one seed.

    Examples
    --------
    >>> seed_agreement(plan, cells)    # doctest: +SKIP
    """
    import pandas as pd

    rows = []
    groups: dict[tuple[str, str], list[CellRun]] = {}
    for cell in cells:
        groups.setdefault((cell.cell.dataset, cell.cell.architecture), []).append(cell)
    for (dataset, architecture), members in groups.items():
        lengths = members[0].lengths() if len(members) > 1 else np.zeros(0, dtype=int)
        for name in plan.methods:
            for first, second in combinations([m for m in members if m.has_maps(name)], 2):
                (a, rows_a), (b, rows_b) = first.maps(name), second.maps(name)
                common, at_a, at_b = np.intersect1d(rows_a, rows_b, return_indices=True)
                means = agreement(a[at_a], b[at_b], lengths=lengths[common]).mean()
                seeds = f"{first.cell.seed},{second.cell.seed}"
                rows.append((dataset, architecture, name, seeds, len(at_a), *means))
    columns = ["dataset", "architecture", "method", "seeds", "n", "cosine", "spearman", "top_k"]
    return pd.DataFrame(rows, columns=columns)


def _write_results(results: pd.DataFrame, out: Path) -> None:
    try:
        part = out / "results.parquet.part"
        results.to_parquet(part, index=False)
        part.replace(out / "results.parquet")
    except ImportError:
        part = out / "results.csv.gz.part"
        results.to_csv(part, index=False, compression="gzip")
        part.replace(out / "results.csv.gz")


def _timings(cells: Sequence[CellRun]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for cell in cells:
        for name, seconds in cell.timings().items():
            rows.append({**cell.cell._asdict(), "method": name, "seconds": seconds})
    return pd.DataFrame(rows)


def _failures(cells: Sequence[CellRun]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {**cell.cell._asdict(), "method": name, "reason": reason}
        for cell in cells
        for name, reason in cell.failures().items()
    ]
    return pd.DataFrame(rows, columns=["dataset", "architecture", "seed", "method", "reason"])


def _models(cells: Sequence[CellRun]) -> pd.DataFrame:
    import pandas as pd

    from genoplrp.training import load_model

    rows = []
    for cell in (cell for cell in cells if cell.is_trained()):
        table = load_model(cell.folder / "model").metrics_table()
        test = table[table["part"] == "test"]
        rows += [
            {**cell.cell._asdict(), **row} for row in test[["task", "metric", "value"]].to_dict("records")
        ]
    return pd.DataFrame(rows)


def _report(
    plan: Plan,
    left_out: Sequence[CellRun],
    results: pd.DataFrame,
    failed: pd.DataFrame,
    summary: pd.DataFrame,
    comparisons: pd.DataFrame,
    timing: pd.DataFrame,
    drawn: Sequence[str],
) -> str:
    shown = set(summary.loc[summary["mean"].notna(), "metric"])
    metrics = [name for name in shown_in("table") if name in shown]
    lines = ["# Benchmark", "", _preface(plan, metrics), ""]
    if left_out:
        named = ", ".join(f"{cell.cell.folder} (test AUROC {cell.auroc():.3f})" for cell in left_out)
        lines += [f"Not explained, since the network has not learnt its task: {named}.", ""]
    if len(failed):
        lines += ["## Failed", "", *_failed_lines(failed), ""]
    for (dataset, architecture), part in summary.groupby(["dataset", "architecture"], sort=False):
        count = results[(results["dataset"] == dataset) & (results["architecture"] == architecture)]
        n = len(count[["seed", "sequence"]].drop_duplicates())
        own = timing[(timing["dataset"] == dataset) & (timing["architecture"] == architecture)]
        lines += [f"## {dataset}, {architecture} ({n} explanations a method)", ""]
        lines += [headline_table(part, own), ""]
    if len(comparisons):
        lines += ["## PLRP against plain LRP, controls and rivals", ""]
        lines += [
            "Paired differences (method minus reference) with 95 % intervals; win rate in brackets.",
            "",
        ]
        lines += [comparison_table(comparisons), ""]
    lines += [f"![{Path(name).stem}](figures/{name})\n" for name in drawn if name.endswith(".png")]
    return "\n".join(lines)


def _failed_lines(failed: pd.DataFrame) -> list[str]:
    lines = ["| method | network | reason |", "| --- | --- | --- |"]
    for (method, reason), part in failed.groupby(["method", "reason"], sort=False):
        where = ", ".join(f"{row.dataset}, {row.architecture}, seed {row.seed}" for row in part.itertuples())
        text = str(reason).replace("|", "/")
        lines.append(f"| {method} | {where} | {text} |")
    return lines


def _preface(plan: Plan, metrics: Sequence[str]) -> str:
    preface = _PREFACE.format(
        datasets=", ".join(plan.datasets),
        architectures=", ".join(plan.architectures),
        seeds=", ".join(map(str, plan.seeds)),
        n_sequences=plan.n_sequences,
        n_explain=plan.n_explain,
        metrics="\n".join(map(_explained, metrics)),
    )
    return preface + "\n" + (_MANY_SEEDS if len(plan.seeds) > 1 else _ONE_SEED)


def _explained(metric: str) -> str:
    """One metric as a point of a list: what it measures, which way is better, what chance gives."""
    score = described(metric)
    chance = f"`{score.chance}`" if isinstance(score.chance, str) else score.chance
    rest = [
        f"{score.better} is better" if score.better else "",
        "" if chance is None else f"chance: {chance}",
    ]
    notes = ", ".join(filter(None, rest))
    return f"- `{metric}`: {score.says or score.title}{f' ({notes})' if notes else ''}"


def headline_table(summary: pd.DataFrame, timing: pd.DataFrame) -> str:
    """Write the means of one data set and architecture as a Markdown table.

    Parameters
    ----------
    summary : pandas.DataFrame
        Rows of `genoplrp.evaluation.summarise_methods`, of one data set and architecture.
    timing : pandas.DataFrame
        ``method`` and ``seconds`` per sequence.

    Returns
    -------
    str
        The best value of each metric that has a better direction in bold; the oracle, which is no rival, is left out
        of that.

    Examples
    --------
    >>> headline_table(summary, timing)    # doctest: +SKIP
    """
    wide = summary.pivot_table(index="method", columns="metric", values="mean", sort=False)
    names = [name for name in shown_in("table") if name in wide.columns and wide[name].notna().any()]
    seconds = timing.groupby("method")["seconds"].mean()
    rivals = wide.drop(index=[*_NO_RIVALS], errors="ignore")
    best = {
        name: getattr(rivals[name], _BEST[better])() for name in names if (better := described(name).better)
    }
    lines = ["| method | " + " | ".join(names) + " | ms |", "| --- |" + " --- |" * (len(names) + 1)]
    for method, row in zip(wide.index.astype(str), wide.to_dict("records"), strict=True):
        cells = []
        for name in names:
            text = "" if np.isnan(row[name]) else f"{row[name]:.3f}"
            is_best = name in best and method not in _NO_RIVALS and row[name] == best[name]
            cells.append(f"**{text}**" if is_best else text)
        lines.append(f"| {method} | " + " | ".join(cells) + f" | {1000 * seconds.get(method, np.nan):.2g} |")
    return "\n".join(lines)


def comparison_table(comparisons: pd.DataFrame) -> str:
    """Write paired comparisons as a Markdown table, one row per data set, architecture and pair.

    Parameters
    ----------
    comparisons : pandas.DataFrame
        As `genoplrp.evaluation.compare_methods` returns them.

    Returns
    -------
    str

    Examples
    --------
    >>> comparison_table(comparisons)    # doctest: +SKIP
    """
    metrics = list(dict.fromkeys(comparisons["metric"]))
    head = ["data set", "network", "method", "reference", *metrics]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    keys = ["dataset", "architecture", "method", "reference"]
    for key, part in comparisons.groupby(keys, sort=False):
        by_metric = part.set_index("metric")
        cells = []
        for metric in metrics:
            row = by_metric.loc[metric]
            cells.append(
                f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}] ({row['win_rate']:.2f})"
            )
        lines.append("| " + " | ".join([*map(str, key), *cells]) + " |")
    return "\n".join(lines)

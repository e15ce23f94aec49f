"""A specification in words and numbers: what it plants, what its labels are like, what can be known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genoplrp.synthetic.generate import simulate
from genoplrp.synthetic.grammar import ROLES
from genoplrp.synthetic.similarity import similarity_matrix
from genoplrp.synthetic.spec_toml import list_presets, load_spec
from genoplrp.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.dataset import Dataset
    from genoplrp.synthetic.spec import Spec

_SHOWN_MOTIFS = 12
_KINDS = {"real": "real-valued", "count": "counts", "profile": "profile"}


@dataclass(frozen=True)
class Description:
    """What a specification makes, measured on a sample.

    Attributes
    ----------
    spec : Spec
        The specification.
    sample : Dataset
        The sample.
    tasks : pandas.DataFrame
        One row a task: kind, rule, prevalence (or mean and standard deviation), share of positions in the mask, and the
        AUROC of an observer who knows the specification (Pearson's r with the labels before noise, where real).
    classes : pandas.DataFrame
        One row a class: fraction, GC content, mean number of instances by role.
    motifs : pandas.DataFrame
        One row a motif: width, information, consensus, best score, instances planted, mean score.
    similarity : pandas.DataFrame
        Similarity of the motifs to each other (to the core motifs, where there are decoys).
    """

    spec: Spec
    sample: Dataset
    tasks: pd.DataFrame
    classes: pd.DataFrame
    motifs: pd.DataFrame
    similarity: pd.DataFrame

    def __str__(self) -> str:
        spec, low_high = self.spec, self.spec.length_range
        length = f"{low_high[0]} bp" if low_high[0] == low_high[1] else f"{low_high[0]} to {low_high[1]} bp"
        gc = _gc(self.sample.sequences)
        parts = [
            f"{spec.name}: {spec.description}",
            f"Tests {spec.tests}." if spec.tests else "",
            f"{length}, {spec.background.kind} background, GC content {gc:.3f}; "
            f"from {counted(len(self.sample), 'sequence')}",
            _table("Tasks", self.tasks),
            _table("Classes", self.classes),
            _table("Motifs", self.motifs.head(_SHOWN_MOTIFS), len(self.motifs)),
            _table(
                "Similarity of motifs",
                self.similarity.iloc[:_SHOWN_MOTIFS, :_SHOWN_MOTIFS],
                len(self.similarity),
            ),
            "Examples (planted motifs in capitals)\n"
            + "\n".join(drawn(self.sample, k) for k in _examples(self.sample)),
        ]
        if self.sample.report:
            parts.insert(
                3, "Reported: " + ", ".join(f"{key} {value}" for key, value in self.sample.report.items())
            )
        return "\n\n".join(part for part in parts if part)


def describe(spec: Spec | str, n: int = 2000, seed: int = 0, *, progress: bool = False) -> Description:
    """Describe a specification by a sample of it.

    Parameters
    ----------
    spec : Spec or str
        A specification, or the name or path of one.
    n : int, default 2000
        Size of the sample.
    seed : int, default 0
        Its seed.
    progress : bool, default False
        Show progress bars on stderr.

    Returns
    -------
    Description
        Prints as a report.

    Examples
    --------
    >>> float(describe("spacing", n=200).tasks.loc["label", "prevalence"])
    0.5
    """
    spec = load_spec(spec) if isinstance(spec, str) else spec
    sample = simulate(spec, n, seed, progress=progress)
    return Description(
        spec,
        sample,
        _describe_tasks(spec, sample, progress),
        _describe_classes(spec, sample),
        _describe_motifs(spec, sample),
        _describe_similarity(spec),
    )


def preset_table() -> pd.DataFrame:
    """List the presets: what each is, what it tests, tasks, length and prevalence.

    Returns
    -------
    pandas.DataFrame
        One row a preset.
    """
    import pandas as pd

    rows = []
    for name in list_presets():
        spec = load_spec(name)
        sample = simulate(spec, n=400 * len(spec.classes), seed=0)
        clean = sample.labels if sample.clean is None else sample.clean
        shares = [
            f"{clean[:, k].mean():.2f}" if task.kind == "binary" else _KINDS[task.kind]
            for k, task in enumerate(spec.tasks)
        ]
        rows.append(
            {
                "preset": name,
                "tasks": ", ".join(task.name for task in spec.tasks),
                "prevalence": ", ".join(shares),
                "tests": spec.tests,
                "description": spec.description,
            }
        )
    return pd.DataFrame(rows).set_index("preset")


def drawn(data: Dataset, index: int, width: int = 100) -> str:
    """Draw a sequence: planted motifs in capitals, their names and strands below.

    Parameters
    ----------
    data : Dataset
        The data set.
    index : int
        Which sequence.
    width : int, default 100
        Letters a line.

    Returns
    -------
    str
    """
    sequence = list(data.sequences[index].lower())
    below = [" "] * len(sequence)
    table = data.instances[data.instances["sequence"] == index]
    columns = (table[name].tolist() for name in ("start", "end", "motif", "strand", "role"))
    for start, end, motif, strand, role in zip(*columns, strict=True):
        sequence[start:end] = "".join(sequence[start:end]).upper()
        mark = {"broken": "?", "decoy": "~"}.get(role, strand)
        below[start:end] = f"{mark}{motif}"[: end - start].ljust(end - start, ".")
    labels = ", ".join(
        f"{task} {value:g}" for task, value in zip(data.tasks, data.labels[index], strict=True)
    )
    of_class = f", {data.classes[index]}" if data.classes is not None else ""
    lines = [f"{data.names[index]} ({labels}{of_class})"]
    for start in range(0, len(sequence), width):
        lines.append("".join(sequence[start : start + width]))
        lines.append("".join(below[start : start + width]).rstrip())
    return "\n".join(line for line in lines if line)


def _describe_tasks(spec: Spec, sample: Dataset, progress: bool) -> pd.DataFrame:
    import pandas as pd

    rows = {}
    known = _best_possible(sample, progress)
    for k, task in enumerate(spec.tasks):
        label = sample.labels[:, k]
        rows[task.name] = {
            "kind": task.kind,
            "rule": task.definition,
            "prevalence" if task.kind == "binary" else "mean": round(float(label.mean()), 4),
            "sd": round(float(label.std()), 4),
            "mask": round(float(sample.mask(k).mean()), 4),
            "oracle": round(known[k], 4),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _best_possible(sample: Dataset, progress: bool) -> list[float]:
    """AUROC of what can be known of binary labels, correlation of the others with what they are before noise."""
    from sklearn.metrics import roc_auc_score

    from genoplrp.synthetic.oracle import best_scores

    scores = best_scores(sample, progress=progress)
    best = []
    for label, score, kind in zip(sample.labels.T, scores.T, sample.kinds, strict=True):
        if label.std() == 0:
            best.append(float("nan"))
        elif kind == "binary":
            best.append(float(roc_auc_score(label, score)))
        else:
            best.append(float(np.corrcoef(score, label)[0, 1]))
    return best


def _describe_classes(spec: Spec, sample: Dataset) -> pd.DataFrame:
    import pandas as pd

    assert sample.classes is not None, "generated data sets have classes"
    rows = {}
    for one in spec.classes:
        chosen = np.flatnonzero(sample.classes == one.name)
        table = sample.instances[np.isin(sample.instances["sequence"], chosen)]
        counts = table["role"].value_counts().to_dict()
        rows[one.name] = {
            "fraction": one.fraction,
            "GC": round(_gc([sample.sequences[i] for i in chosen]), 3),
            **{
                role: round(counts.get(role, 0) / max(len(chosen), 1), 2)
                for role in ROLES
                if role in ROLES[:3] or (sample.instances["role"] == role).any()
            },
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _describe_motifs(spec: Spec, sample: Dataset) -> pd.DataFrame:
    import pandas as pd

    planted = sample.instances.groupby("motif", observed=True)["score"].agg(["size", "mean"])
    rows = {}
    for name, motif in spec.matrices.items():
        rows[name] = {
            "width": motif.width,
            "bits": round(float(motif.information().sum()), 1),
            "consensus": motif.consensus(),
            "best score": round(motif.best_score, 1),
            "planted": int(planted["size"].get(name, 0)),
            "mean score": round(float(planted["mean"].get(name, np.nan)), 1),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _describe_similarity(spec: Spec) -> pd.DataFrame:
    import pandas as pd

    names = list(spec.matrices)
    against = list(dict.fromkeys(name for limit in spec.similarity for name in spec.sets[limit.to])) or names
    if len(against) > _SHOWN_MOTIFS:
        against = against[:_SHOWN_MOTIFS]
    values = similarity_matrix(
        [spec.matrices[name] for name in names], [spec.matrices[name] for name in against]
    )
    return pd.DataFrame(np.round(values, 2), index=names, columns=against)


def _examples(sample: Dataset) -> list[int]:
    """First sequence of each class."""
    assert sample.classes is not None, "generated data sets have classes"
    return [int(np.flatnonzero(sample.classes == name)[0]) for name in dict.fromkeys(sample.classes.tolist())]


def _table(title: str, table: pd.DataFrame, rows: int | None = None) -> str:
    if table.empty:
        return ""
    more = f" (first {len(table)} of {rows})" if rows is not None and rows > len(table) else ""
    return f"{title}{more}\n{table.fillna('').to_string()}"


def _gc(sequences: list[str]) -> float:
    letters = "".join(sequences).upper()
    return (letters.count("G") + letters.count("C")) / max(len(letters), 1)

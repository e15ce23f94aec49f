"""One cell of a benchmark: train the network, make every map, score it; each piece is cached on disk under the cell.

A piece that exists is not made again, so an interrupted run goes on where it was, and a new method costs only itself.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genoplrp.errors import InputError
from genoplrp.evaluation.faithfulness import deletion_insertion, sufficiency_necessity
from genoplrp.evaluation.grammar import score_grammar
from genoplrp.evaluation.instances import score_recovery
from genoplrp.evaluation.job import Job
from genoplrp.evaluation.maps import Maps
from genoplrp.evaluation.methods import explain_with, output_function
from genoplrp.evaluation.plan import AVERAGES, SLOW, Cell, Plan
from genoplrp.evaluation.pointing import pointing_game, signal_contrast, top_k_intersection, weighted_cosine
from genoplrp.evaluation.removals import Removals, infidelity, random_removals, sensitivity_n
from genoplrp.evaluation.robustness import agreement, score_robustness
from genoplrp.evaluation.sanity import score_sanity, train_on_random_labels
from genoplrp.evaluation.scoring import score
from genoplrp.evaluation.sparsity import effective_bases, entropy, gini, hoyer, zero_fraction
from genoplrp.formats.table import write_csv

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic import Dataset
    from genoplrp.training import TrainedModel

KEYS = ["dataset", "architecture", "seed", "method", "sequence"]
SANITY_SEQUENCES = 5


class CellRun:
    """The work of one cell.

    Parameters
    ----------
    plan : Plan
        What is compared.
    cell : Cell
        Which cell.
    out : Path
        Folder of the benchmark; the data set is in ``out/data``.

    Raises
    ------
    InputError
        If no sequence of the cell can be explained.
    """

    def __init__(self, plan: Plan, cell: Cell, out: Path) -> None:
        self.plan, self.cell = plan, cell
        self.folder = out / "cells" / cell.folder
        self.data_folder = out / "data" / cell.dataset
        self._ready: _Ready | None = None
        self._learnt: bool | None = None

    def missing(self) -> list[str]:
        """Methods that have no scores yet; none for a network that is trained and has not learnt."""
        if self.is_trained() and not self.has_learnt():
            return []
        return [name for name in self.plan.methods if not self._scores_path(name).exists()]

    def is_trained(self) -> bool:
        """Whether the network is there already."""
        return (self.folder / "model").exists()

    def auroc(self) -> float:
        """AUROC of the explained task on the test part, NaN where the network has none."""
        from genoplrp.training import load_model

        tasks = load_model(self.folder / "model").metrics["test"]["tasks"]
        name = list(tasks)[self.plan.task] if isinstance(self.plan.task, int) else self.plan.task
        return float(tasks[name].get("auroc", np.nan))

    def has_learnt(self) -> bool:
        """Whether the trained network tells the explained task's classes apart (`Plan.least_auroc`)."""
        if self._learnt is None:
            self._learnt = not self.auroc() < self.plan.least_auroc
        return self._learnt

    def run(self, *, after_each: Callable[[str], None] | None = None) -> None:
        """Train, explain and score whatever is missing; a network that has not learnt is not explained.

        Parameters
        ----------
        after_each : callable, optional
            Called with the method's name after each one.
        """
        if not self.is_trained():
            self._network(self._data())
        for name in self.missing():
            self._run_method(name)
            if after_each is not None:
                after_each(name)

    def scores(self) -> pd.DataFrame:
        """Read the scores of all methods of the plan, one row per method and sequence."""
        import pandas as pd

        return pd.concat(
            [pd.read_csv(self._scores_path(name)) for name in self.plan.methods], ignore_index=True
        )

    def sanity(self) -> pd.DataFrame:
        """Read the comparison with randomised networks, empty where it was not made."""
        import pandas as pd

        paths = [self._path(name, "sanity", "csv") for name in self.plan.methods]
        tables = [pd.read_csv(path) for path in paths if path.exists()]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def timings(self) -> dict[str, float]:
        """Seconds per sequence of every method, with those of the maps that it is made from."""
        paths = {name: self._path(name, "timing", "json") for name in self.plan.methods}
        own = {name: float(json.loads(path.read_text())["seconds"]) for name, path in paths.items()}
        return {name: own[name] + sum(own[needed] for needed in _needs(name)) for name in own}

    def maps(self, name: str) -> tuple[Maps, np.ndarray]:
        """Read a method's maps and the rows of the data set they are of."""
        with np.load(self._path(name, "maps", "npz"), allow_pickle=False) as archive:
            return archive["per_nucleotide"].astype(np.float64), archive["sequence"]

    def _run_method(self, name: str) -> None:
        ready = self._prepare()
        if name in SLOW:
            ready = ready.first(self.plan.n_slow)
        maps = self._explain(name, ready)
        if self.plan.sanity and name.partition(":")[0] not in AVERAGES:
            self._score_sanity(name, ready, maps)
        table = self._score(name, ready, maps)
        write_csv(table, self._scores_path(name), overwrite=True)

    def _prepare(self) -> _Ready:
        """Load or train the network, and choose what is explained."""
        if self._ready is None:
            for part in ("maps", "scores", "timing", "sanity"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)
            data = self._data()
            fit = self._network(data)
            self._ready = _Ready(self.plan, data, fit)
        return self._ready

    def _data(self) -> Dataset:
        from genoplrp.synthetic import Dataset

        return Dataset.load(self.data_folder)

    def _network(self, data: Dataset) -> TrainedModel:
        from genoplrp.training import load_model, train

        path = self.folder / "model"
        if path.exists():
            return load_model(path)
        options = self.plan.training_options(self.cell.architecture)
        fit = train(data, self.cell.architecture, self.cell.seed, progress=False, bootstrap=0, **options)
        fit.save(path)
        return fit

    def _random_label_network(self) -> TrainedModel:
        from genoplrp.training import load_model

        path = self.folder / "random-labels"
        if not path.exists():
            data = self._data()
            options = self.plan.training_options(self.cell.architecture)
            train_on_random_labels(data, self.cell.architecture, self.cell.seed, **options).save(path)
        return load_model(path)

    def _explain(self, name: str, ready: _Ready) -> Maps:
        path = self._path(name, "maps", "npz")
        if path.exists():
            return self.maps(name)[0]
        job = ready.job(self.cell.seed)
        known: dict[str, Maps] = {}
        for other in self.plan.methods:
            if other != name and self._path(other, "maps", "npz").exists() and other in _needs(name):
                known[other] = self.maps(other)[0]
        # Once on two sequences first: imports and compilation are no part of what a method costs.
        explain_with(name, ready.job(self.cell.seed, ready.X[:2]))
        started = time.perf_counter()
        # What is kept is what is scored, now and after a restart.
        maps = explain_with(name, job, known=known).astype(np.float32)
        seconds = (time.perf_counter() - started) / len(job.X)
        self._path(name, "timing", "json").write_text(json.dumps({"seconds": seconds}))
        part = path.with_suffix(".part")
        with part.open("wb") as stream:
            np.savez_compressed(stream, per_nucleotide=maps, sequence=ready.rows)
        part.replace(path)
        return maps.astype(np.float64)

    def _score(self, name: str, ready: _Ready, maps: Maps) -> pd.DataFrame:
        import pandas as pd

        plan, X = self.plan, ready.X
        tables = [
            score(maps, ready.mask),
            _further_scores(maps, ready),
            score_recovery(maps, ready.sites),
            score_grammar(maps, ready.all_sites),
            _faithfulness(plan, ready, maps),
        ]
        table = pd.concat(tables, axis=1)
        table["sensitivity_n"] = sensitivity_n(maps, ready.removals)
        table["infidelity"] = infidelity(maps, ready.removals)
        if plan.n_robust and name.partition(":")[0] not in AVERAGES:
            some = slice(0, plan.n_robust)

            def explain(changed: np.ndarray) -> Maps:
                return explain_with(name, ready.job(self.cell.seed, changed))

            robust = score_robustness(explain, X[some], ready.mask[some], n_draws=4, maps=maps[some])
            table = pd.concat([table, robust], axis=1)
        table["sequence"] = ready.rows
        keys = {**self.cell._asdict(), "method": name}
        for position, key in enumerate(("dataset", "architecture", "seed", "method")):
            table.insert(position, key, keys[key])
        table.insert(4, "sequence", table.pop("sequence"))
        return table.reset_index(drop=True)

    def _score_sanity(self, name: str, ready: _Ready, maps: Maps) -> None:
        import pandas as pd

        path = self._path(name, "sanity", "csv")
        if path.exists():
            return
        some = slice(0, SANITY_SEQUENCES)

        def explain(model: Any, X: np.ndarray) -> Maps:
            return explain_with(name, Job(model, X, ready.target, self.cell.seed, ready.motifs))

        table = score_sanity(explain, ready.fit.model, ready.X[some], maps=maps[some])
        if self.plan.random_labels:
            other = np.abs(explain(self._random_label_network().model, ready.X[some]))
            row = agreement(np.abs(maps[some]), other).reset_index()
            row.insert(0, "layers", 0)
            row.insert(1, "layer", "random labels")
            table = pd.concat([table, row], ignore_index=True)
        for position, (key, value) in enumerate({**self.cell._asdict(), "method": name}.items()):
            table.insert(position, key, value)
        write_csv(table, path, overwrite=True)

    def _scores_path(self, name: str) -> Path:
        return self._path(name, "scores", "csv")

    def _path(self, name: str, part: str, suffix: str) -> Path:
        # A colon is no letter of a file name everywhere.
        return self.folder / part / f"{name.replace(':', '+')}.{suffix}"


class _Ready:
    """What all methods of a cell share: the sequences that are explained, their truth, and the model's answers."""

    def __init__(self, plan: Plan, data: Dataset, fit: TrainedModel) -> None:
        self.fit = fit
        self.target = data.task_index(plan.task)
        rows = np.flatnonzero((data.split == "test") & (data.labels[:, self.target] > 0))
        logits = fit.logits(data.subset(rows).one_hot())[:, self.target] if len(rows) else np.zeros(0)
        self.rows = rows[logits > 0][: plan.n_explain]
        if len(self.rows) == 0:
            raise InputError(
                f"no positive of the test part is predicted correctly ({len(rows)} positives); train longer or on more"
            )
        chosen = data.subset(self.rows)
        self.X = chosen.one_hot()
        self.mask = chosen.mask(self.target)
        self.information = chosen.information(self.target)
        self.sites = chosen.instances_of(self.target)
        self.all_sites = _with_roles(chosen, self.target)
        used = set(data.instances_of(self.target)["motif"].astype(str))
        self.motifs = tuple(motif for name, motif in data.motifs.items() if name in used)
        self.predict = output_function(fit.model, self.target)
        self.removals: Removals = random_removals(self.predict, self.X, fill=plan.fill)

    def first(self, n: int) -> _Ready:
        """Make the same of the first sequences only."""
        if n >= len(self.rows):
            return self
        some = copy.copy(self)
        some.rows, some.X, some.mask = self.rows[:n], self.X[:n], self.mask[:n]
        some.information = self.information[:n]
        some.sites = self.sites[self.sites["sequence"] < n]
        some.all_sites = self.all_sites[self.all_sites["sequence"] < n]
        some.removals = Removals(self.removals.subsets[:n], self.removals.drop[:n])
        return some

    def job(self, seed: int, X: np.ndarray | None = None) -> Job:
        return Job(self.fit.model, self.X if X is None else X, self.target, seed, self.motifs)


def _with_roles(data: Dataset, target: int) -> pd.DataFrame:
    """Give every instance its role for one task: what matters for other tasks only is "other"."""
    table = data.instances.copy()
    role = table["role"].astype(str)
    matters = table.index.isin(data.instances_of(target).index)
    table["role"] = role.where(matters | (role != "core"), "other")
    return table


def _further_scores(maps: Maps, ready: _Ready) -> pd.DataFrame:
    import pandas as pd

    columns = {
        "gini_positive": gini(np.maximum(maps, 0.0)),
        "hoyer": hoyer(maps),
        "entropy": entropy(maps),
        "zero_fraction": zero_fraction(maps),
        "effective_bases": effective_bases(maps),
        "top_10": top_k_intersection(maps, ready.mask, k=10),
        "pointing_game": pointing_game(maps, ready.mask),
        "signal_contrast": signal_contrast(maps, ready.mask),
        "weighted_cosine": weighted_cosine(maps, ready.information),
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(maps), name="sequence"))


def _faithfulness(plan: Plan, ready: _Ready, maps: Maps) -> pd.DataFrame:
    """Scale deletion and insertion by the mean span of the cell: single sequences may span next to nothing.

    The span is the same for every method of the cell, so that methods compare as before.
    """
    import pandas as pd

    X, maps = ready.X[: plan.n_faithful], maps[: plan.n_faithful]
    curves = deletion_insertion(ready.predict, X, maps, fill=plan.fill, n_fills=plan.n_fills).to_frame()
    span = curves["span"].mean()
    span = span if span > 0 else np.nan
    curves["deletion"] = 1 - curves["deletion_drop"] / span
    curves["insertion"] = curves["insertion_gain"] / span
    named = sufficiency_necessity(ready.predict, X, maps, fill=plan.fill, n_fills=plan.n_fills)
    return pd.concat([curves, named], axis=1)


def _needs(name: str) -> set[str]:
    from genoplrp.evaluation.methods import get_method

    found: set[str] = set()
    for needed in get_method(name).needs:
        found |= {needed} | _needs(needed)
    return found

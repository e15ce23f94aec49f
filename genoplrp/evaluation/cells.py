"""One cell of a benchmark: train the network, make every map, score it; each piece is kept on disk under the cell.

A piece counts only if it was made of just what it would be made of now (`pieces`). So an interrupted run goes on where
it was, a new method costs only itself, and other data, weights, code or settings never get an old table.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.evaluation.ingredients import Ingredients, code_content, file_content, method_ingredients
from genoplrp.evaluation.maps import Maps
from genoplrp.evaluation.methods import explain_with, get_method
from genoplrp.evaluation.metrics import registered_metrics
from genoplrp.evaluation.pieces import Pieces
from genoplrp.evaluation.plan import AVERAGES, SLOW, Cell, Plan
from genoplrp.evaluation.ready import Ready, score_faithfulness, score_truth
from genoplrp.evaluation.robustness import agreement, score_robustness
from genoplrp.evaluation.sanity import score_sanity, train_on_random_labels
from genoplrp.formats.table import write_csv
from genoplrp.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from genoplrp.synthetic import Dataset
    from genoplrp.training import TrainedModel

KEYS = ["dataset", "architecture", "seed", "method", "sequence"]
SANITY_SEQUENCES = 5
#: What stands for the sequence in the row of a method that failed.
NO_SEQUENCE = -1
#: Columns of the results that are no scores.
NO_SCORES = [*KEYS, "error"]
_NETWORK = "network"


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
    """

    def __init__(self, plan: Plan, cell: Cell, out: Path) -> None:
        self.plan, self.cell = plan, cell
        self.folder = out / "cells" / cell.folder
        self.data_folder = out / "data" / cell.dataset
        self.data_content = Pieces(out).fact("data", cell.dataset, "content")
        self.pieces = Pieces(self.folder)
        self._ready: Ready | None = None
        self._learnt: bool | None = None
        self._weights_content: str | None = None

    def todo(self, name: str) -> list[str]:
        """Parts of a method that are not there, or were made of something else: maps, scores, ..."""
        parts = self._parts(name)
        # Everything else is made from the maps.
        if not self.is_trained() or not self._is_ready("maps", name):
            return parts
        return [part for part in parts if not self._is_ready(part, name)]

    def missing(self) -> list[str]:
        """Methods that are not complete; none for a network that is trained and has not learnt."""
        if self.is_trained() and not self.has_learnt():
            return []
        return [name for name in self.plan.methods if self.todo(name)]

    def changes(self) -> dict[str, list[str]]:
        """Say of each method that is to be made anew which of its ingredients have changed since it was made."""
        network = self.pieces.changes(_NETWORK, "model", self._network_ingredients())
        if network:
            return dict.fromkeys(self.plan.methods, network)
        if not self.is_trained():
            return {}
        found = {}
        for name in self.plan.methods:
            changed: dict[str, None] = {}
            for part in self._parts(name):
                for key in self.pieces.changes(part, name, self._ingredients(part, name)):
                    changed[key] = None
            if changed:
                found[name] = list(changed)
        return found

    def is_trained(self) -> bool:
        """Whether the network is there already, trained on these data with these settings."""
        made_of = self._network_ingredients()
        recorded = self.pieces.fact(_NETWORK, "model", "made_of") == made_of
        return recorded and self._weights.is_file() and self.pieces.failure(_NETWORK, "model") is None

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

        What fails is noted with its reason, and the rest goes on.

        Parameters
        ----------
        after_each : callable, optional
            Called with the method's name after each one.
        """
        self.pieces.forget("cell", "cell")
        try:
            if not self.is_trained():
                self._network(self._data())
            names = self.missing()
            if names:
                self._prepare()
        except Exception as error:  # whatever it is, it must not take the other cells with it
            self.pieces.record_failure("cell", "cell", {}, _reason(error))
            names = []
        for name in names:
            for part in self.todo(name):
                try:
                    self._make(part, name)
                except Exception as error:
                    self.pieces.record_failure(part, name, self._ingredients(part, name), _reason(error))
                    break
            if after_each is not None:
                after_each(name)

    def failures(self) -> dict[str, str]:
        """Why each method that failed did; empty if all is well."""
        cell = self.pieces.failure("cell", "cell")
        if cell is not None:
            return dict.fromkeys(self.plan.methods, cell)
        found = {}
        for name in self.plan.methods:
            for part in self._parts(name):
                reason = self.pieces.failure(part, name)
                if reason is not None:
                    found[name] = f"{part}: {reason}"
                    break
        return found

    def scores(self) -> pd.DataFrame:
        """Read the scores of the plan's methods, one row per method and sequence; a method without any has one row."""
        import pandas as pd

        failures, tables = self.failures(), []
        for name in self.plan.methods:
            parts = [p for p in ("scores", "faithful", "robust") if p in self._parts(name)]
            ready = [p for p in parts if self._is_trained_and_ready(p, name)]
            if "scores" in ready:
                columns = [pd.read_csv(self._path(part, name)) for part in ready]
                table = pd.concat([columns[0], *(c.drop(columns="sequence") for c in columns[1:])], axis=1)
            else:
                table = pd.DataFrame({"sequence": [NO_SEQUENCE]})
            for position, (key, value) in enumerate({**self.cell._asdict(), "method": name}.items()):
                table.insert(position, key, value)
            if name in failures:
                table["error"] = failures[name]
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def sanity(self) -> pd.DataFrame:
        """Read the comparison with randomised networks, empty where it was not made."""
        import pandas as pd

        tables = []
        for name in self.plan.methods:
            for part in ("sanity", "random_labels"):
                if part in self._parts(name) and self._is_trained_and_ready(part, name):
                    table = pd.read_csv(self._path(part, name))
                    for position, (key, value) in enumerate({**self.cell._asdict(), "method": name}.items()):
                        table.insert(position, key, value)
                    tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def timings(self) -> dict[str, float]:
        """Seconds per sequence of every method that has maps, with those of the maps that it is made from."""
        found = {name: self.pieces.fact("maps", name, "seconds") for name in self.plan.methods}
        own = {name: float(seconds) for name, seconds in found.items() if seconds is not None}
        return {name: own[name] + sum(own[needed] for needed in _needs(name)) for name in own}

    def maps(self, name: str) -> tuple[Maps, np.ndarray]:
        """Read a method's maps and the rows of the data set they are of."""
        with np.load(self._path("maps", name), allow_pickle=False) as archive:
            return archive["per_nucleotide"].astype(np.float64), archive["sequence"]

    def lengths(self) -> np.ndarray:
        """Length of every sequence of the data set, (N,)."""
        return self._data().lengths

    def has_maps(self, name: str) -> bool:
        """Whether a method's maps are there."""
        return self._is_trained_and_ready("maps", name)

    # What each piece is made of.

    @property
    def _weights(self) -> Path:
        return self.folder / "model" / "weights.safetensors"

    def _network_ingredients(self) -> Ingredients:
        return {
            "data": self.data_content,
            "architecture": self.cell.architecture,
            "seed": self.cell.seed,
            "training": self.plan.training_options(self.cell.architecture),
        }

    def _weights_now(self) -> str | None:
        if self._weights_content is None and self._weights.is_file():
            self._weights_content = file_content(self._weights)
        return self._weights_content

    def _ingredients(self, part: str, name: str) -> Ingredients:
        """What a part of a method is made of, as far as it is known."""
        if part == "maps":
            return {
                "data": self.data_content,
                "weights": self._weights_now(),
                "method": method_ingredients(name),
                "seed": self.cell.seed,
                "task": self.plan.task,
                "n_explain": self.plan.n_slow if name in SLOW else self.plan.n_explain,
                **{f"maps of {other}": self.pieces.fact("maps", other, "sha256") for other in _needs(name)},
            }
        made_of: Ingredients = {"maps": self.pieces.fact("maps", name, "sha256"), "genoplrp": __version__}
        if part == "scores":
            made_of |= {f"metric {own}": code_content(m) for own, m in registered_metrics().items()}
        if part == "faithful":
            made_of |= {key: getattr(self.plan, key) for key in ("fill", "n_fills", "n_faithful")}
        if part == "robust":
            made_of["n_robust"] = self.plan.n_robust
        if part == "random_labels":
            made_of["network"] = self._network_ingredients()
        return made_of

    def _parts(self, name: str) -> list[str]:
        parts = ["maps", "scores", "faithful"]
        if name.partition(":")[0] in AVERAGES:
            return parts
        if self.plan.n_robust:
            parts.append("robust")
        if self.plan.sanity:
            parts.append("sanity")
            if self.plan.random_labels:
                parts.append("random_labels")
        return parts

    def _path(self, part: str, name: str) -> Path:
        return self.pieces.path(part, name, "npz" if part == "maps" else "csv")

    def _is_ready(self, part: str, name: str) -> bool:
        return self.pieces.is_ready(part, name, self._path(part, name), self._ingredients(part, name))

    def _is_trained_and_ready(self, part: str, name: str) -> bool:
        return self.is_trained() and all(self._is_ready(p, name) for p in dict.fromkeys(["maps", part]))

    # Making them.

    def _data(self) -> Dataset:
        from genoplrp.synthetic import Dataset

        return Dataset.load(self.data_folder)

    def _network(self, data: Dataset) -> TrainedModel:
        from genoplrp.training import load_model, train

        path = self.folder / "model"
        if self.is_trained():
            if self._weights_now() != self.pieces.fact(_NETWORK, "model", "sha256"):
                raise InputError(
                    f"{self._weights} is not what was trained here (its SHA-256 differs): put the file back, or "
                    f"remove {path} to train again"
                )
            return load_model(path)
        options = self.plan.training_options(self.cell.architecture)
        fit = train(data, self.cell.architecture, self.cell.seed, progress=False, bootstrap=0, **options)
        self.pieces.forget(_NETWORK, "model")
        fit.save(path, overwrite=True)
        self.pieces.record(_NETWORK, "model", self._weights, self._network_ingredients())
        self._weights_content = self._learnt = None
        return fit

    def _random_label_network(self) -> TrainedModel:
        from genoplrp.training import load_model

        path = self.folder / "random-labels"
        made_of, weights = self._network_ingredients(), path / "weights.safetensors"
        if not self.pieces.is_ready(_NETWORK, "random-labels", weights, made_of):
            options = self.plan.training_options(self.cell.architecture)
            fit = train_on_random_labels(self._data(), self.cell.architecture, self.cell.seed, **options)
            fit.save(path, overwrite=True)
            self.pieces.record(_NETWORK, "random-labels", weights, made_of)
        return load_model(path)

    def _prepare(self) -> Ready:
        """Load or train the network, and choose what is explained."""
        if self._ready is None:
            data = self._data()
            self._ready = Ready(self.plan, data, self._network(data))
        return self._ready

    def _ready_for(self, name: str) -> Ready:
        ready = self._prepare()
        return ready.first(self.plan.n_slow) if name in SLOW else ready

    def _make(self, part: str, name: str) -> None:
        ready, path = self._ready_for(name), self._path(part, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if part == "maps":
            seconds = self._explain(name, ready, path)
            self.pieces.record(part, name, path, self._ingredients(part, name), seconds=seconds)
            return
        maps, made_of = self.maps(name)[0], self._ingredients(part, name)
        if part == "scores":
            table = score_truth(maps, ready)
        elif part == "faithful":
            table = score_faithfulness(maps, ready, self.plan)
        elif part == "robust":
            table = self._robustness(name, ready, maps)
        elif part == "sanity":
            table = self._sanity(name, ready, maps)
        else:
            table = self._against_random_labels(name, ready, maps)
        if part in ("scores", "faithful", "robust"):
            table.insert(0, "sequence", ready.rows)
            table = table.reset_index(drop=True)
        write_csv(table, path, overwrite=True)
        self.pieces.record(part, name, path, made_of)

    def _explain(self, name: str, ready: Ready, path: Path) -> float:
        """Make and keep a method's maps; return the seconds they took for each sequence."""
        known: dict[str, Maps] = {}
        for other in _needs(name):
            if not self._is_ready("maps", other):
                raise InputError(f"it is made from the maps of {other}, which failed")
            known[other] = self.maps(other)[0]
        # Once on two sequences first: imports and compilation are no part of what a method costs.
        explain_with(name, ready.job(self.cell.seed, ready.X[:2]))
        job = ready.job(self.cell.seed)
        started = time.perf_counter()
        # What is kept is what is scored, now and after a restart.
        maps = explain_with(name, job, known=known).astype(np.float32)
        seconds = (time.perf_counter() - started) / len(job.X)
        _check(maps, ready)
        part = path.with_suffix(".part")
        with part.open("wb") as stream:
            np.savez_compressed(stream, per_nucleotide=maps, sequence=ready.rows)
        part.replace(path)
        return seconds

    def _robustness(self, name: str, ready: Ready, maps: Maps) -> pd.DataFrame:
        some = slice(0, self.plan.n_robust)

        def explain(changed: np.ndarray) -> Maps:
            return explain_with(name, ready.job(self.cell.seed, changed))

        lengths = ready.lengths_of(self.plan.n_robust)
        table = score_robustness(
            explain, ready.X[some], ready.mask[some], n_draws=4, maps=maps[some], lengths=lengths
        )
        return table.reindex(range(len(maps)))

    def _sanity(self, name: str, ready: Ready, maps: Maps) -> pd.DataFrame:
        some = slice(0, SANITY_SEQUENCES)

        def explain(model: nn.Module, X: np.ndarray) -> Maps:
            return explain_with(name, replace(ready.job(self.cell.seed, X), model=model))

        lengths = ready.lengths_of(SANITY_SEQUENCES)
        return score_sanity(explain, ready.fit.model, ready.X[some], maps=maps[some], lengths=lengths)

    def _against_random_labels(self, name: str, ready: Ready, maps: Maps) -> pd.DataFrame:
        some = slice(0, SANITY_SEQUENCES)
        model = self._random_label_network().model
        other = explain_with(name, replace(ready.job(self.cell.seed, ready.X[some]), model=model))
        lengths = ready.lengths_of(SANITY_SEQUENCES)
        table = agreement(np.abs(maps[some]), np.abs(other), lengths=lengths).reset_index()
        table.insert(0, "layers", 0)
        table.insert(1, "layer", "random labels")
        return table


def _check(maps: Maps, ready: Ready) -> None:
    if maps.shape != (len(ready.rows), ready.X.shape[2]):
        raise InputError(
            f"its map has the shape {maps.shape}, expected {(len(ready.rows), ready.X.shape[2])}, one row per sequence"
        )
    bad = np.argwhere(~np.isfinite(maps))
    if len(bad):
        row, position = bad[0]
        raise NonFiniteError(
            f"its map holds {len(bad)} entries that are NaN or infinite, the first at sequence {ready.rows[row]}, "
            f"position {position}"
        )


def _reason(error: Exception) -> str:
    from genoplrp.errors import GenoplrpError

    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, GenoplrpError) else f"{type(error).__name__}: {text}"


def _needs(name: str) -> list[str]:
    """All methods whose maps a method is made from, in order."""
    found: dict[str, None] = {}
    for needed in get_method(name).needs:
        found |= dict.fromkeys([*_needs(needed), needed])
    return list(found)

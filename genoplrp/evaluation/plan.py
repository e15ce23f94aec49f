"""What a benchmark compares, on what, and how thoroughly: one checked, frozen record; nothing runs here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple, TypedDict

from genoplrp.errors import InputError, check_choice
from genoplrp.evaluation.fills import FILLS, Fill
from genoplrp.evaluation.methods import SWEEP_P, default_methods, full_name, get_method

#: Prefixes of methods that ask another one four times.
AVERAGES = ("views", "agreement")
#: What takes a hundred passes and more for one sequence.
SLOW = ("ism", *(f"{of}:{name}" for of in AVERAGES for name in ("integrated-gradients", "deeplift-shap")))
#: Enough for a test AUROC of .99 on the full plan's data sets but `and`; other architectures stop early by themselves.
EPOCHS = {"bpnet": 8}


class Cell(NamedTuple):
    """One trained network: a data set, an architecture and a training seed."""

    dataset: str
    architecture: str
    seed: int

    @property
    def folder(self) -> str:
        """Name of the cell's folder."""
        return f"{self.dataset}/{self.architecture}-{self.seed}"


class TrainingOptions(TypedDict, total=False):
    """Options of the trainer that a plan sets."""

    epochs: int


class PlanSettings(TypedDict, total=False):
    """What `genoplrp.benchmark` hands on to `Plan`, where each is explained."""

    architectures: Sequence[str]
    seeds: Sequence[int]
    n_sequences: int
    n_explain: int
    n_slow: int
    n_faithful: int
    n_robust: int
    sanity: bool
    random_labels: bool
    epochs: int | Mapping[str, int] | None
    least_auroc: float
    task: int | str
    fill: Fill
    n_fills: int
    data_seed: int


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Parameters
    ----------
    datasets : tuple of str
        Names of data sets (presets of `genoplrp.load_spec`, or those handed to `genoplrp.benchmark`).
    architectures : tuple of str
        Reference architectures.
    seeds : tuple of int
        Training seeds.
    methods : tuple of str
        As in `genoplrp.evaluation.get_method`; written in full, those that controls are made from are added.
    n_sequences : int
        Sequences to simulate for each preset.
    n_explain : int
        At most this many sequences of each cell are explained: positives of the test part that are predicted correctly.
    n_slow : int
        At most this many by the slow methods (`SLOW`): the first of them, so that all comparisons are paired.
    n_faithful : int
        So many of them are asked about with bases taken away (deletion, insertion, sufficiency, necessity).
    n_robust : int
        So many of them are explained again under changes (0: robustness is left out, as it is for `AVERAGES`).
    sanity : bool
        Compare with randomised networks, on at most 5 sequences (not for `AVERAGES`).
    random_labels : bool
        Compare, on the same sequences, with a network that was trained on permuted labels as well; one more training
        for each cell.
    epochs : int or mapping of str to int, optional
        Most epochs of training, also by architecture; None, or an architecture that is not named: the trainer's
        default.
    least_auroc : float
        A network whose AUROC on the test part is below it has nothing to explain: it is not explained, and the report
        names it. Networks without an AUROC (regression) are all explained.
    task : int or str
        The task whose output is explained.
    fill : str
        What replaces removed bases, see `genoplrp.evaluation.draw_fill`.
    n_fills : int
        Fills that are averaged.
    data_seed : int
        Seed of the data sets.

    Raises
    ------
    InputError
        If something does not make sense; the message names it.

    Examples
    --------
    >>> plan = Plan(datasets=("koo2021",), methods=("threshold:plrp-lambda-0.1",))
    >>> plan.methods
    ('lrp@gamma', 'plrp-lambda-0.1@gamma', 'threshold:plrp-lambda-0.1@gamma')
    """

    datasets: tuple[str, ...]
    architectures: tuple[str, ...] = ("koo", "bpnet")
    seeds: tuple[int, ...] = (0, 1, 2)
    methods: tuple[str, ...] = ()
    n_sequences: int = 20_000
    n_explain: int = 300
    n_slow: int = 100
    n_faithful: int = 75
    n_robust: int = 6
    sanity: bool = True
    random_labels: bool = False
    epochs: int | Mapping[str, int] | None = None
    least_auroc: float = 0.8
    task: int | str = 0
    fill: Fill = "dinucleotide"
    n_fills: int = 2
    data_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("datasets", "architectures", "seeds"):
            values = tuple(getattr(self, name))
            if not values or len(set(values)) != len(values):
                raise InputError(f"{name} must be a list without repetitions; got {list(values)}")
            object.__setattr__(self, name, values)
        # They are names of folders, too.
        odd = [name for name in self.datasets if not name or Path(name).name != name or "\\" in name]
        if odd:
            raise InputError(
                f"{odd[0]!r} is not the name of a data set: give a preset's name, or pass the data set"
            )
        for name, least in (
            ("n_sequences", 10),
            ("n_explain", 1),
            ("n_slow", 1),
            ("n_faithful", 1),
            ("n_robust", 0),
            ("n_fills", 1),
        ):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}; got {getattr(self, name)}")
        if not 0 <= self.least_auroc <= 1:
            raise InputError(f"least_auroc must lie between 0 and 1; got {self.least_auroc}")
        limits = self.epochs.values() if isinstance(self.epochs, Mapping) else [self.epochs or 1]
        if any(isinstance(epochs, bool) or epochs < 1 for epochs in limits):
            raise InputError(f"epochs must be at least 1; got {self.epochs}")
        check_choice("fill", self.fill, FILLS)
        object.__setattr__(self, "methods", _with_needs(self.methods or default_methods()))

    def cells(self) -> Iterator[Cell]:
        """Yield every cell, data set by data set."""
        for dataset in self.datasets:
            for architecture in self.architectures:
                for seed in self.seeds:
                    yield Cell(dataset, architecture, seed)

    def training_options(self, architecture: str) -> TrainingOptions:
        """Options of the trainer for one architecture."""
        epochs = self.epochs.get(architecture) if isinstance(self.epochs, Mapping) else self.epochs
        return {} if epochs is None else {"epochs": epochs}

    def save(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan that `save` wrote.

        Raises
        ------
        InputError
            If the file cannot be read as a plan.
        """
        try:
            known = {field.name for field in fields(cls)}
            settings = {key: value for key, value in json.loads(path.read_text()).items() if key in known}
            return cls(**settings)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{path} cannot be read as a plan ({error}); choose another folder") from error

    def differences(self, path: Path) -> str:
        """Settings that differ from those of a saved plan, but for the lists, which may grow; empty if none does.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        try:
            before = dict(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{path} cannot be read ({error}); choose another folder") from error
        now = json.loads(json.dumps(asdict(self)))
        names = [name for name in now if name not in ("datasets", "architectures", "seeds", "methods")]
        changed = [name for name in names if before.get(name) != now[name]]
        return ", ".join(f"{name} {before.get(name)!r} -> {now[name]!r}" for name in changed)


def full_plan() -> Plan:
    """Make the plan whose results the documentation shows: four data sets, two architectures, three seeds.

    Returns
    -------
    Plan

    Examples
    --------
    >>> len(list(full_plan().cells()))
    24
    """
    return Plan(datasets=("koo2021_fixed", "tal_gata", "spacing", "and"), epochs=EPOCHS)


def quick_plan(dataset: str = "koo2021_fixed") -> Plan:
    """Make the plan of a first look: one data set, one network, one seed; at most ten minutes on two cores.

    Parameters
    ----------
    dataset : str
        The data set.

    Returns
    -------
    Plan

    Examples
    --------
    >>> quick_plan().seeds
    (0,)
    """
    return Plan(
        datasets=(dataset,),
        architectures=("koo",),
        seeds=(0,),
        methods=tuple(default_methods(quick=True, p=(0.05, 0.15))),
        n_sequences=20_000,
        n_explain=150,
        n_robust=6,
        sanity=False,
        n_fills=2,
    )


def sweep_methods(*, preset: str = "gamma", p: Sequence[float] = SWEEP_P) -> list[str]:
    """Names of PLRP-lambda and PLRP-M over p, for the sweep figures.

    Parameters
    ----------
    preset : str
        Rules.
    p : sequence of float
        Shares to prune.

    Returns
    -------
    list of str

    Examples
    --------
    >>> sweep_methods(p=[0, 0.5])
    ['plrp-lambda-0@gamma', 'plrp-lambda-0.5@gamma', 'plrp-M-0@gamma', 'plrp-M-0.5@gamma']
    """
    return [f"plrp-{kind}-{share:g}@{preset}" for kind in ("lambda", "M") for share in p]


def _with_needs(names: Sequence[str]) -> tuple[str, ...]:
    """Write names in full, each once, and put what a control is made from before it."""
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        for needed in get_method(name).needs:
            add(needed)
        ordered[full_name(name)] = None

    for name in names:
        add(name)
    return tuple(ordered)

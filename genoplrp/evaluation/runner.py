"""The benchmark: methods x data sets x architectures x training seeds, scored in one table; resumable and cached.

The pieces live elsewhere: what is compared in `plan`, one trained network in `cells`, tables and figures in `report`.
"""

from __future__ import annotations

import pickle
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.evaluation.cells import CellRun
from genoplrp.evaluation.ingredients import data_content, fingerprint
from genoplrp.evaluation.job import Explain
from genoplrp.evaluation.methods import register_method, registered_methods
from genoplrp.evaluation.metrics import Metric, register_metric, registered_metrics
from genoplrp.evaluation.pieces import Pieces
from genoplrp.evaluation.plan import Cell, Plan, PlanSettings
from genoplrp.evaluation.report import write_report
from genoplrp.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic import Dataset


def benchmark(
    datasets: str | Sequence[str] | Mapping[str, Dataset] | None = None,
    methods: Sequence[str] | None = None,
    *,
    out: str | Path,
    plan: Plan | None = None,
    jobs: int = 1,
    figures: bool = True,
    resume: bool = False,
    force: bool = False,
    progress: bool = True,
    **settings: Unpack[PlanSettings],
) -> pd.DataFrame:
    """Compare explanation methods on networks trained on planted motifs.

    An interrupted run continues when it is called again with the same folder, and an added method, seed, data set or
    part such as `sanity` costs only itself. Results are reused only if data, weights, code, package versions and
    settings are the same; otherwise they are computed again, and one line on stderr says why. A method that fails, or
    whose map is not finite, has a row with the reason under ``error``; the others continue, and the next call tries it
    again. With the same number of threads, the same plan gives the same scores (except timings); with several
    processes, each network has one thread.

    Parameters
    ----------
    datasets : str, sequence of str, or mapping of str to Dataset
        Presets to simulate (`genoplrp.load_spec`), or your own data sets, with names.
    methods : sequence of str, optional
        As in `genoplrp.evaluation.get_method`; by default `genoplrp.evaluation.default_methods`.
    out : str or Path
        Folder for everything: data sets, networks, maps, scores, tables, figures and a report.
    plan : Plan, optional
        What to compare; `datasets`, `methods` and `settings` override it.
    jobs : int
        Number of processes. Each cell (data set, architecture, seed) is one piece of work.
    figures : bool
        Draw figures.
    resume : bool
        Take plan and data sets from the folder and compute only what is missing or has failed; `datasets`, `methods`
        and `settings` may be left out.
    force : bool
        Empty the folder first, if it was made by a benchmark.
    progress : bool
        Show a progress bar with the time left on stderr.
    **settings
        Any other field of `Plan`: architectures, seeds, n_sequences, n_explain, epochs, ...

    Returns
    -------
    pandas.DataFrame
        One row per data set, architecture, seed, method and sequence, one column per metric. Where methods failed
        there is a column ``error`` with the reasons; one without any scores has a single row, of sequence -1. The
        same table is in ``out`` with a summary, paired comparisons and a report.

    Raises
    ------
    InputError
        If a setting does not make sense, or no network has learned its task.
    OutputExistsError
        If the folder holds something else.

    References
    ----------
    The metrics' own; see `genoplrp.evaluation`.

    Examples
    --------
    >>> import genoplrp as gp                                                                    # doctest: +SKIP
    >>> table = gp.benchmark("koo2021", ["lrp", "plrp-auto", "ism"], out="benchmark", jobs=2)    # doctest: +SKIP
    """
    own = dict(datasets) if isinstance(datasets, Mapping) else {}
    names = (datasets,) if isinstance(datasets, str) else tuple(datasets or ())
    folder = Path(out)
    if resume:
        plan = _plan_of(folder)
    plan = _merge(plan, names, methods, dict(settings))
    _check_architectures(plan)
    _prepare_folder(folder, plan, force)
    _prepare_data(folder, plan, own, resume)
    cells = [CellRun(plan, cell, folder) for cell in plan.cells()]
    _say_what_is_made_anew(cells)
    _run(cells, plan, folder, jobs, progress)
    learnt = [cell for cell in cells if not cell.is_trained() or cell.has_learnt()]
    if not learnt:
        found = ", ".join(f"{cell.cell.folder} {cell.auroc():.3f}" for cell in cells)
        raise InputError(
            f"no network has learnt its task (test AUROC below {plan.least_auroc:g}: {found}); train on more sequences "
            "or for more epochs, or lower least_auroc (--least-auroc)"
        )
    return write_report(plan, learnt, folder, figures=figures, left_out=[c for c in cells if c not in learnt])


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # one line, whether or not a progress bar is shown


def _plan_of(folder: Path) -> Plan:
    if not (folder / "plan.json").is_file():
        raise InputError(f"{folder} holds no benchmark to continue (no plan.json); omit resume to start one")
    return Plan.load(folder / "plan.json")


def _check_architectures(plan: Plan) -> None:
    from genoplrp.training import list_architectures

    known = list_architectures()
    for name in plan.architectures:
        if name not in known:
            raise InputError(f"There is no architecture {name!r}; choose one of {', '.join(known)}.")


def _merge(
    plan: Plan | None, datasets: tuple[str, ...], methods: Sequence[str] | None, settings: dict[str, Any]
) -> Plan:
    if datasets:
        settings["datasets"] = datasets
    if methods is not None:
        settings["methods"] = tuple(methods)
    try:
        if plan is not None:
            return replace(plan, **settings)
        if "datasets" not in settings:
            raise InputError("name at least one data set to compare on, for example 'koo2021'")
        return Plan(**settings)
    except TypeError as error:
        known = ", ".join(field.name for field in fields(Plan))
        raise InputError(f"unknown setting: {error}; settings are {known}") from error


def _prepare_folder(folder: Path, plan: Plan, force: bool) -> None:
    record = folder / "plan.json"
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; name a folder")
    if folder.exists() and any(folder.iterdir()):
        if not record.exists():
            raise OutputExistsError(f"{folder} exists and is no benchmark; choose another folder")
        if force:
            shutil.rmtree(folder)
        elif changed := plan.differences(record):
            _say(f"{folder} was made with other settings ({changed}): what depends on them is made anew")
    folder.mkdir(parents=True, exist_ok=True)
    plan.save(record)


def _prepare_data(folder: Path, plan: Plan, own: dict[str, Dataset], resume: bool) -> None:
    """Simulate or store the data sets, before any process needs them; what is there counts only if it is the same."""
    pieces = Pieces(folder)
    (folder / "data").mkdir(exist_ok=True)
    for name in plan.datasets:
        path = folder / "data" / name
        manifest = path / "manifest.json"
        made_of, make = _recipe(name, plan, own, pieces, manifest, resume)
        if make is None or pieces.is_ready("data", name, manifest, made_of):
            continue
        if path.exists():
            changed = ", ".join(pieces.changes("data", name, made_of)) or "no record of what it was made of"
            _say(f"data set {name!r} is not the one that was used here before ({changed}): it is replaced")
        data = make()
        data.task_index(plan.task)
        pieces.forget("data", name)
        data.save(path, overwrite=True)
        pieces.record("data", name, manifest, made_of, content=data_content(data))


def _recipe(
    name: str, plan: Plan, own: dict[str, Dataset], pieces: Pieces, manifest: Path, resume: bool
) -> tuple[dict[str, Any], Callable[[], Dataset] | None]:
    """What a data set is to be made of, and how; None instead if the one that is there is to be used."""
    if name in own:
        data = own[name]
        return {"content": data_content(data)}, lambda: data
    stored = pieces.fact("data", name, "made_of")
    kept = stored is not None and pieces.is_ready("data", name, manifest, stored)
    if kept and resume:
        return stored, None
    from genoplrp.synthetic import load_spec, simulate
    from genoplrp.synthetic.spec_toml import spec_to_table

    try:
        spec = load_spec(name)
    except InputError:
        # A data set of somebody's own that was handed in the first time.
        if kept and "content" in stored:
            return stored, None
        raise
    made_of = {
        "specification": fingerprint([spec_to_table(spec), [m.pwm for m in spec.matrices.values()]]),
        "n_sequences": plan.n_sequences,
        "data_seed": plan.data_seed,
        "genoplrp": __version__,
    }
    return made_of, lambda: simulate(spec, plan.n_sequences, seed=plan.data_seed)


def _say_what_is_made_anew(cells: list[CellRun]) -> None:
    """One line for each reason."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        for name, changed in cell.changes().items():
            found.setdefault(", ".join(changed), []).append(f"{cell.cell.folder} {name}")
    for reason, names in found.items():
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        _say(
            f"{len(names)} of the results here were made of something else ({reason}) and are made anew: {shown}"
        )


def _run(cells: list[CellRun], plan: Plan, folder: Path, jobs: int, progress: bool) -> None:
    from tqdm import tqdm

    waiting = [cell for cell in cells if cell.missing()]
    if jobs < 1:
        raise InputError(f"jobs must be at least 1; got {jobs}")
    total = sum(len(cell.missing()) for cell in waiting)
    with tqdm(total=total, desc="benchmark", unit="method", disable=not progress) as bar:

        def done(name: str, cell: Cell) -> None:
            bar.set_postfix_str(f"{cell.folder} {name}", refresh=False)
            bar.update()

        if jobs == 1 or len(waiting) < 2:
            for run in waiting:
                if not run.is_trained():
                    bar.set_postfix_str(f"{run.cell.folder} training")
                before, waited = bar.n, len(run.missing())
                run.run(after_each=lambda name, cell=run.cell: done(name, cell))  # type: ignore[misc]
                bar.update(
                    waited - (bar.n - before)
                )  # nothing is explained where training failed or was in vain
            return
        # Fresh interpreters: a forked process would share torch's thread pool.
        with ProcessPoolExecutor(min(jobs, len(waiting)), mp_context=get_context("spawn")) as pool:
            own = _to_send(plan)
            work = {pool.submit(_run_cell, plan, run.cell, folder, own): run for run in waiting}
            sizes = {future: len(run.missing()) for future, run in work.items()}
            try:
                for future in as_completed(work):
                    future.result()
                    bar.set_postfix_str(work[future].cell.folder, refresh=False)
                    bar.update(sizes[future])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


class _Own(NamedTuple):
    """What a user registered, which fresh processes do not know."""

    methods: dict[str, Explain]
    metrics: dict[str, Metric]


def _to_send(plan: Plan) -> _Own:
    """What the plan uses of the user's own methods, and the user's own metrics."""
    used = {part for name in plan.methods for part in re.split(r"[:+]", name)}
    own = _Own(
        {name: explain for name, explain in registered_methods().items() if name in used},
        registered_metrics(),
    )
    for kind, functions in (("method", own.methods), ("metric", own.metrics)):
        for name, function in functions.items():
            try:
                pickle.dumps(function)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise InputError(
                    f"the {kind} {name!r} cannot be sent to another process ({error}): make it a function of a "
                    "module, or use one job"
                ) from error
    return own


def _run_cell(plan: Plan, cell: Cell, folder: Path, own: _Own) -> None:
    """Do one cell in a process of its own, on one thread: on several, sums and so networks come out otherwise."""
    import torch

    for name, explain in own.methods.items():
        register_method(name, explain)
    for name, metric in own.metrics.items():
        register_metric(name, metric)
    torch.set_num_threads(1)
    CellRun(plan, cell, folder).run()

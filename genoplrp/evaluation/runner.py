"""The benchmark: methods x data sets x architectures x training seeds, scored in one table; resumable and cached.

The pieces live elsewhere: what is compared in `plan`, one trained network in `cells`, tables and figures in `report`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.evaluation.cells import CellRun
from genoplrp.evaluation.plan import Cell, Plan
from genoplrp.evaluation.report import write_report

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
    force: bool = False,
    progress: bool = True,
    **settings: Any,
) -> pd.DataFrame:
    """Compare methods of explanation on networks trained on planted truth.

    An interrupted run goes on where it was when it is called again with the same folder; a method, a seed or a data
    set that is added costs only itself. The same plan gives the same scores (but for the timings) on as many threads;
    in several processes each network has one.

    Parameters
    ----------
    datasets : str, sequence of str, or mapping of str to Dataset
        Presets to simulate (`genoplrp.load_spec`), or data sets of one's own under names.
    methods : sequence of str, optional
        As in `genoplrp.evaluation.get_method`; by default `genoplrp.evaluation.default_methods`.
    out : str or Path
        Folder for everything: data sets, networks, maps, scores, tables, figures and a report.
    plan : Plan, optional
        What to compare; `datasets`, `methods` and `settings` override it.
    jobs : int
        Processes. Each cell (data set, architecture, seed) is one piece of work.
    figures : bool
        Draw figures.
    force : bool
        Empty the folder first, if it was made by a benchmark.
    progress : bool
        Show a progress bar with the time left on stderr.
    **settings
        Any other field of `Plan`: architectures, seeds, n_sequences, n_explain, epochs, ...

    Returns
    -------
    pandas.DataFrame
        One row per data set, architecture, seed, method and sequence, one column per metric. The same table is in
        ``out`` with a summary, paired comparisons and a report.

    Raises
    ------
    InputError
        If a setting does not make sense or differs from those that the folder was made with.
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
    plan = _merge(plan, names, methods, settings)
    folder = Path(out)
    _prepare_folder(folder, plan, force)
    _prepare_data(folder, plan, own)
    cells = [CellRun(plan, cell, folder) for cell in plan.cells()]
    _run(cells, plan, folder, jobs, progress)
    learnt = [cell for cell in cells if cell.has_learnt()]
    if not learnt:
        found = ", ".join(f"{cell.cell.folder} {cell.auroc():.3f}" for cell in cells)
        raise InputError(
            f"no network has learnt its task (test AUROC below {plan.least_auroc:g}: {found}); train on more sequences "
            "or for more epochs, or lower least_auroc (--least-auroc)"
        )
    return write_report(plan, learnt, folder, figures=figures, left_out=[c for c in cells if c not in learnt])


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
        raise InputError(f"unknown setting: {error}") from error


def _prepare_folder(folder: Path, plan: Plan, force: bool) -> None:
    record = folder / "plan.json"
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; name a folder")
    if folder.exists() and any(folder.iterdir()):
        if not record.exists():
            raise OutputExistsError(f"{folder} exists and is no benchmark; choose another folder")
        if force:
            shutil.rmtree(folder)
        else:
            plan.check_same(record)
    folder.mkdir(parents=True, exist_ok=True)
    plan.save(record)


def _prepare_data(folder: Path, plan: Plan, own: dict[str, Dataset]) -> None:
    """Simulate or store the data sets, before any process needs them."""
    for name in plan.datasets:
        path = folder / "data" / name
        if path.exists():
            continue
        path.parent.mkdir(exist_ok=True)
        data = own.get(name) or _simulate(name, plan)
        data.task_index(plan.task)
        data.save(path)


def _simulate(name: str, plan: Plan) -> Dataset:
    from genoplrp.synthetic import load_spec, simulate

    data: Dataset = simulate(load_spec(name), plan.n_sequences, seed=plan.data_seed)
    return data


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
                run.run(after_each=lambda name, cell=run.cell: done(name, cell))  # type: ignore[misc]
                if not run.has_learnt():
                    bar.update(len(plan.methods))
            return
        # Fresh interpreters: a forked process would share torch's thread pool.
        with ProcessPoolExecutor(min(jobs, len(waiting)), mp_context=get_context("spawn")) as pool:
            work = {pool.submit(_run_cell, plan, run.cell, folder): run for run in waiting}
            sizes = {future: len(run.missing()) for future, run in work.items()}
            try:
                for future in as_completed(work):
                    future.result()
                    bar.set_postfix_str(work[future].cell.folder, refresh=False)
                    bar.update(sizes[future])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _run_cell(plan: Plan, cell: Cell, folder: Path) -> None:
    """Do one cell in a process of its own, on one thread: on several, sums and so networks come out otherwise."""
    import torch

    torch.set_num_threads(1)
    CellRun(plan, cell, folder).run()

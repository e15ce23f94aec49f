"""From a specification straight to a folder, in pieces: memory stays flat however many sequences there are."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import reduce
from multiprocessing import get_context
from operator import add

from genoplrp.synthetic.blocks import BlockMaker, Plan
from genoplrp.synthetic.dataset import Dataset
from genoplrp.synthetic.folder import check_target, new_folder
from genoplrp.synthetic.generate import check_count, dataset_of, progress_bar, total_report
from genoplrp.synthetic.spec import Spec
from genoplrp.synthetic.spec_toml import load_spec
from genoplrp.synthetic.splits import SPLITS
from genoplrp.synthetic.tables import Piece, piece_of
from genoplrp.synthetic.tally import Tally, tally_block
from genoplrp.synthetic.variants import draw_variants
from genoplrp.synthetic.writer import DatasetWriter

_Chunk = list[tuple[Piece, dict[str, int], Tally]]


def simulate_to(
    path: str | os.PathLike[str],
    spec: Spec | str,
    n: int,
    seed: int = 0,
    *,
    workers: int = 1,
    chunk_size: int = 50_000,
    compress: bool = False,
    parquet: bool = False,
    truth: bool = False,
    variants: int = 0,
    overwrite: bool = False,
    progress: bool = False,
) -> Tally:
    """Generate a benchmark data set into a folder, with flat memory.

    The files are the same, byte for byte, for every number of workers and every chunk size, and the same as those of
    ``simulate(...).save(path)`` (but for Parquet, which has one row group a block here). The folder appears when it is
    complete.

    Parameters
    ----------
    path : path
        Folder to make.
    spec : Spec or str
        A specification, or the name or path of one.
    n : int
        Number of sequences.
    seed : int, default 0
        The same specification, number and seed give the same bytes.
    workers : int, default 1
        Processes. Scripts that ask for more than one need the usual ``if __name__ == "__main__":``.
    chunk_size : int, default 50,000
        Sequences that one process holds at a time; rounded up to whole blocks.
    compress : bool, default False
        Write the sequences with bgzip.
    parquet : bool, default False
        Write the tables as Parquet, too; needs pyarrow.
    truth : bool, default False
        Write what sites, pairs of sites and bases are worth, too; it takes some milliseconds a sequence.
    variants : int, default 0
        Write this many variants with their true effects, too, of the first test sequences (of all, where none is for
        testing); see :func:`genoplrp.synthetic.variants.draw_variants`.
    overwrite : bool, default False
        Replace a folder that holds a data set.
    progress : bool, default False
        Show a progress bar on stderr.

    Returns
    -------
    Tally
        How often each label occurs in each part; a task whose labels are all the same is warned of.

    Raises
    ------
    InputError, SpecError
        As :func:`genoplrp.synthetic.simulate`.
    OutputExistsError
        If the path exists and may not be replaced.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "koo"
    >>> simulate_to(folder, "koo2021_fixed", n=100).n.tolist()
    [70, 10, 20]
    >>> sorted(file.name for file in folder.iterdir())[:3]
    ['instances.bed', 'labels.tsv', 'manifest.json']
    """
    check_target(path, overwrite=overwrite)
    spec = load_spec(spec) if not isinstance(spec, Spec) else spec
    plan = Plan(spec, check_count(n, "n", 1), check_count(seed, "seed", 0))
    check_count(workers, "workers", 1)
    check_count(variants, "variants", 0)
    per_chunk = -(-check_count(chunk_size, "chunk_size", 1) // plan.block_size)
    chunks = [range(k, min(k + per_chunk, plan.blocks)) for k in range(0, plan.blocks, per_chunk)]
    tasks, kinds = [task.name for task in spec.tasks], [task.kind for task in spec.tasks]
    noisy = [task.noisy for task in spec.tasks]
    options = {"planted": True, "compress": compress, "parquet": parquet}
    reports, tallies = [], []
    with (
        new_folder(path, overwrite=overwrite) as folder,
        DatasetWriter(folder, tasks, kinds, noisy=noisy, **options) as writer,
        progress_bar(n, shown=progress) as bar,
    ):
        for chunk in _make_chunks(plan, chunks, workers, {"frames": parquet, "truth": truth}):
            for piece, report, tally in chunk:
                writer.add(piece)
                reports.append(report)
                tallies.append(tally)
                bar.update(piece.n)
        if variants:
            draw_variants(_for_variants(plan, variants), variants, plan.seed, progress=progress).save(folder)
        writer.finish(spec, spec.matrices, plan.seed, total_report(reports))
    total = reduce(add, tallies)
    for note in total.notes(tasks, kinds):
        warnings.warn(note, stacklevel=2)
    return total


def _make_chunks(plan: Plan, chunks: list[range], workers: int, what: dict[str, bool]) -> Iterator[_Chunk]:
    """Chunks in order, made here or by worker processes that are at most a few chunks ahead."""
    if workers == 1 or len(chunks) == 1:
        maker = BlockMaker(plan)
        for chunk in chunks:
            for block in chunk:
                yield [_piece(maker, block, what)]
        return
    pending: deque[Future[_Chunk]] = deque()
    pool = ProcessPoolExecutor(
        min(workers, len(chunks)),
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(plan,),
    )
    with pool:
        try:
            for chunk in chunks:
                pending.append(pool.submit(_work, list(chunk), what))
                if len(pending) > workers + 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _piece(maker: BlockMaker, block: int, what: dict[str, bool]) -> tuple[Piece, dict[str, int], Tally]:
    made = maker.make(block)
    tally = tally_block(made)
    return piece_of(dataset_of(maker.plan, [made]), **what), made.report, tally


def _for_variants(plan: Plan, k: int) -> Dataset:
    """The first test sequences, one for each variant where there are so many."""
    maker, blocks, found = BlockMaker(plan), [], 0
    test = SPLITS.index("test") if plan.spec.split.get("test", 0) > 0 else None
    for number in range(plan.blocks):
        blocks.append(maker.make(number))
        split = blocks[-1].split
        found += len(split) if test is None else int((split == test).sum())
        if found >= k:
            break
    data = dataset_of(plan, blocks)
    return (data if found == 0 or test is None else data.subset("test")).subset(slice(k))


_maker: BlockMaker | None = None


def _start_worker(plan: Plan) -> None:
    global _maker  # each worker process has one plan
    _maker = BlockMaker(plan)


def _work(blocks: list[int], what: dict[str, bool]) -> _Chunk:
    assert _maker is not None, "the pool starts each worker with a plan"
    return [_piece(_maker, block, what) for block in blocks]

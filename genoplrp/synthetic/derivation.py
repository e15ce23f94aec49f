"""Why a sequence has its labels: each task's rule with the numbers that went into it, from the instance table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genoplrp.errors import InputError
from genoplrp.synthetic.effects import spec_of
from genoplrp.synthetic.grammar import COUNTED

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.dataset import Dataset
    from genoplrp.synthetic.spec import Spec


def derive(data: Dataset, index: int) -> pd.DataFrame:
    """Derive the labels of one sequence from its planted instances.

    Parameters
    ----------
    data : Dataset
        A generated data set.
    index : int
        Which sequence.

    Returns
    -------
    pandas.DataFrame
        One row a task: ``rule`` (or formula), ``counts`` (intact core instances of each name in it), ``clean`` (the
        label before noise), ``label``.

    Raises
    ------
    InputError
        If the data set has no specification, or there is no such sequence.

    Examples
    --------
    >>> from genoplrp.synthetic import simulate
    >>> data = simulate("xor", n=8, seed=1)
    >>> bool((derive(data, 0)["clean"] == data.labels[0]).all())
    True
    """
    import pandas as pd

    spec = spec_of(data)
    if not -len(data) <= index < len(data):
        raise InputError(f"There is no sequence {index}; the data set has {len(data)}.")
    index %= len(data)
    rows = data.instances[(data.instances["sequence"] == index) & data.instances["role"].isin(COUNTED)]
    of_class = "" if data.classes is None else str(data.classes[index])
    clean = data.labels if data.clean is None else data.clean
    table = []
    for k, task in enumerate(spec.tasks):
        counts = {name: _count(spec, rows, of_class, name) for name in task.names}
        table.append(
            {
                "task": task.name,
                "rule": task.definition,
                "counts": ", ".join(f"{name} {count}" for name, count in counts.items()),
                "clean": clean[index, k],
                "label": data.labels[index, k],
            }
        )
    return pd.DataFrame(table).set_index("task")


def _count(spec: Spec, rows: pd.DataFrame, of_class: str, name: str) -> int:
    if name in spec.sites:
        return int((rows["site"] == name).sum()) // len(spec.sites[name].motifs)
    if any(name == one.name for one in spec.classes):
        return int(name == of_class)
    return int(np.isin(rows["motif"].astype(str), spec.members(name)).sum())

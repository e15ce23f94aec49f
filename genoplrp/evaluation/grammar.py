"""Whether an explanation obeys the rule that made the label: what was needed is credited, what was not is not.

It reads the instance table of a data set (roles and tasks), not the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genoplrp.evaluation.instances import RECOVERED_AT, measure_sites
from genoplrp.evaluation.maps import Arrays, read_maps

if TYPE_CHECKING:
    import pandas as pd


def score_roles(
    per_nucleotide: Arrays, instances: pd.DataFrame, *, lengths: Arrays | None = None
) -> pd.DataFrame:
    """Say for every planted site whether it is credited, blamed, or left alone.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position.
    instances : pandas.DataFrame
        All sites of the sequences, whatever their role, with the columns of `score_instances` and ``role``.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    pandas.DataFrame
        The table of `score_instances` with ``net`` (signed relevance of the site divided by the absolute relevance of
        the sequence, -1 to 1), ``credited`` (net above 0 and percentile at least 0.95) and ``blamed`` (net below 0 and
        percentile at most 0.05). A constant or all-zero map credits and blames nothing.

    Raises
    ------
    InputError, NonFiniteError
        As in `score_instances`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> sites = pd.DataFrame({"sequence": [0, 0], "start": [0, 20], "end": [2, 22], "role": ["core", "broken"]})
    >>> r = np.zeros((1, 40)); r[0, :2] = 1
    >>> score_roles(r, sites)["credited"].tolist()
    [True, False]
    """
    table = measure_sites(per_nucleotide, instances, lengths)
    table["credited"] = (table["net"] > 0) & (table["percentile"] >= RECOVERED_AT)
    table["blamed"] = (table["net"] < 0) & (table["percentile"] <= 1 - RECOVERED_AT)
    return table


def score_grammar(
    per_nucleotide: Arrays, instances: pd.DataFrame, *, lengths: Arrays | None = None
) -> pd.DataFrame:
    """Summarise, per sequence, whether each kind of site is treated as the rule of the label says.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position.
    instances : pandas.DataFrame
        All sites of the sequences with their ``role``: "core" sites made the label and should be credited (all of
        them: the two halves of an AND are both needed), "inhibitor" and "repressor" sites argue against it and should
        be blamed, "decoy" and "broken" sites (a wrong spacing or order) have no say and should not be credited, nor
        should "other" sites (they matter for other tasks only).
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    pandas.DataFrame
        One row per sequence (index ``sequence``): ``core_credited``, ``core_all_credited``, ``inhibitor_blamed``,
        ``decoy_credited``, ``broken_credited`` and ``other_credited``, each a share of the sequence's sites of that
        role (chance .05 to .08) and NaN where it has none.

    Raises
    ------
    InputError, NonFiniteError
        As in `score_instances`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> sites = pd.DataFrame({"sequence": [0, 0], "start": [0, 20], "end": [2, 22], "role": ["core", "broken"]})
    >>> r = np.zeros((1, 40)); r[0, :2] = 1
    >>> score_grammar(r, sites)[["core_all_credited", "broken_credited"]].iloc[0].tolist()
    [1.0, 0.0]
    """
    import pandas as pd

    maps = read_maps(per_nucleotide)
    table = score_roles(maps, instances, lengths=lengths)
    index = pd.RangeIndex(len(maps), name="sequence")

    def share(role: str, verdict: str, *also: str) -> pd.core.groupby.SeriesGroupBy:
        return table.loc[table["role"].isin([role, *also])].groupby("sequence")[verdict]

    columns = {
        "core_credited": share("core", "credited").mean(),
        "core_all_credited": share("core", "credited").min(),
        "inhibitor_blamed": share("inhibitor", "blamed", "repressor").mean(),
        "decoy_credited": share("decoy", "credited").mean(),
        "broken_credited": share("broken", "credited").mean(),
        "other_credited": share("other", "credited").mean(),
    }
    return pd.DataFrame({name: column.reindex(index).astype(float) for name, column in columns.items()})

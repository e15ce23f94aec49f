"""What each score is called, which way is better, what chance gives and where it is shown; none is computed here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Place = Literal["table", "comparison", "sweep", "report", "widget"]
"""Table and overview figure of a benchmark, its paired comparisons, figures over p, the live report, the widget."""
PLACES: tuple[Place, ...] = get_args(Place)


@dataclass(frozen=True)
class Score:
    """What a reader is told of a score.

    Attributes
    ----------
    title : str
        Its name in figures.
    short : str
        Its name where there is little room; by default the title.
    says : str
        What it measures, in half a sentence.
    better : {"higher", "lower"}, optional
        None where neither is: a sparse map may be sparse in the wrong places.
    chance : float or str, optional
        What a map that says nothing scores: a number, or the column of the same table that holds it. None where that
        depends on the map.
    shown : iterable of str
        Where it is shown (`Place`).
    """

    title: str
    short: str = ""
    says: str = ""
    better: Literal["higher", "lower"] | None = None
    chance: float | str | None = None
    shown: Iterable[Place] = ()


SCORES: dict[str, Score] = {
    "gini": Score(
        "Gini index",
        "Gini",
        "sparsity of the absolute relevance",
        shown=("table", "sweep", "report", "widget"),
    ),
    "rma": Score(
        "relevance mass accuracy",
        "RMA",
        "share of the positive relevance in the planted sites",
        better="higher",
        chance="prevalence",
        shown=PLACES,
    ),
    "rma_absolute": Score(
        "relevance mass accuracy, absolute",
        "RMA, absolute",
        "share of the absolute relevance in the planted sites",
        better="higher",
        chance="prevalence",
    ),
    "rra": Score(
        "relevance rank accuracy",
        "RRA",
        "share of the top positions in the planted sites",
        better="higher",
        chance="prevalence",
        shown=("table", "sweep", "report"),
    ),
    "average_precision": Score(
        "average precision",
        "AP",
        "average precision of ranking the bases of planted sites first",
        better="higher",
        chance="prevalence",
        shown=PLACES,
    ),
    "auroc": Score(
        "AUROC",
        says="area under the ROC curve of ranking the bases of planted sites first",
        better="higher",
        chance=0.5,
        shown=("table", "report"),
    ),
    "prevalence": Score("prevalence", says="share of positions in the planted sites"),
    "instance_recall": Score(
        "share of sites recovered",
        says="share of the sites that stand out from their sequence",
        better="higher",
        shown=("table", "comparison"),
    ),
    "weakest_share": Score(
        "weakest site's share",
        says="what the weakest site gets, 1 where all get the same",
        better="higher",
        chance="weakest_chance",
        shown=("table", "comparison", "sweep"),
    ),
    "insertion": Score(
        "insertion",
        says="share of the output recovered by the top positions",
        better="higher",
        shown=("table", "comparison", "sweep"),
    ),
    "deletion": Score(
        "deletion",
        says="share of the output left without the top positions",
        better="lower",
        shown=("table", "sweep"),
    ),
    "sensitivity_n": Score(
        "sensitivity-n",
        says="correlation of the relevance of random sets of bases with what the output loses without them",
        better="higher",
        chance=0.0,
        shown=("table",),
    ),
    "max_sensitivity": Score(
        "max-sensitivity",
        says="largest change of the map under a small change of the sequence",
        better="lower",
        shown=("table", "sweep"),
    ),
}
"""Column of a table of scores -> what it is, in the order in which they are shown."""


def described(name: str) -> Score:
    """Return what is known of a score; of one that nobody described, its name.

    Parameters
    ----------
    name
        The column.

    Examples
    --------
    >>> described("rma").title, described("zero_fraction").title
    ('relevance mass accuracy', 'zero fraction')
    """
    return SCORES.get(name) or Score(name.replace("_", " "))


def shown_in(place: Place) -> list[str]:
    """Return the scores that a place shows, in order.

    Examples
    --------
    >>> shown_in("widget")
    ['gini', 'rma', 'average_precision']
    """
    return [name for name, score in SCORES.items() if place in score.shown]

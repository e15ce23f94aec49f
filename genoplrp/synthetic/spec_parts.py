"""The parts of a specification: how a motif is used, sites, plants, classes; each is checked for itself alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from genoplrp.errors import SpecError
from genoplrp.synthetic.backgrounds import Background
from genoplrp.synthetic.distributions import Count, Position, Spacing
from genoplrp.synthetic.motifs import Motif
from genoplrp.synthetic.similarity import Similarity
from genoplrp.synthetic.tasks import Task

Role = Literal["core", "decoy"]
Broken = Literal["", "spacing", "order", "orientation", "missing", "mutated", "shuffled"]


@dataclass(frozen=True)
class MotifUse:
    """A motif and how its instances are drawn.

    Attributes
    ----------
    motif : Motif
        The matrix that instances are drawn from.
    sampling : {"pwm", "best"}
        Letters drawn from the columns, or the likeliest letter of each.
    min_score : float, optional
        Instances with fewer bits of log-odds are drawn again.
    """

    motif: Motif
    sampling: Literal["pwm", "best"] = "pwm"
    min_score: float | None = None

    def __post_init__(self) -> None:
        if self.min_score is not None and self.min_score > self.motif.best_score - 1e-9:
            raise SpecError(
                f"min_score is {self.min_score:g} bits, but {self.motif.name} reaches at most "
                f"{self.motif.best_score:.2f}; lower it."
            )


@dataclass(frozen=True)
class Site:
    """Several motifs that belong together: a grammar.

    Attributes
    ----------
    motifs : sequence of str
        The motifs (or sets, of which one motif is drawn) in order, 5' to 3' on the site's own strand.
    spacing : Spacing, or a sequence of one for each pair of neighbours
        The gap between neighbours.
    broken_spacing : Spacing, or a sequence of them, optional
        Gaps used where the spacing is broken on purpose; by default all others of about the same size.
    orientation : str, default "any"
        "any" (each on a strand of its own), "same", "opposite" (of two), or signs such as "+-".
    order : {"fixed", "any"}
        Whether the motifs keep their order.
    minus : float, default 0
        Probability that the whole site is turned to the other strand.
    """

    motifs: tuple[str, ...]
    spacing: Spacing | tuple[Spacing, ...] = field(
        default_factory=lambda: Spacing(kind="range", low=0, high=10)
    )
    broken_spacing: Spacing | tuple[Spacing, ...] | None = None
    orientation: str = "any"
    order: Literal["fixed", "any"] = "fixed"
    minus: float = 0.0

    def __post_init__(self) -> None:
        if len(self.motifs) < 2:
            raise SpecError(
                f"motifs are {list(self.motifs)}; a site needs two or more (one is planted without a site)."
            )
        for key, rules in (("spacing", self.spacing), ("broken_spacing", self.broken_spacing)):
            if isinstance(rules, tuple) and len(rules) != len(self.motifs) - 1:
                raise SpecError(
                    f"{key} has {len(rules)} rules for {len(self.motifs)} motifs; give one, or {len(self.motifs) - 1} "
                    "(one for each pair of neighbours)."
                )
        signs = set(self.orientation) <= {"+", "-"} and len(self.orientation) == len(self.motifs)
        if not signs and self.orientation not in ("any", "same", "opposite"):
            raise SpecError(
                f"orientation is {self.orientation!r}; expected 'any', 'same', 'opposite' or {len(self.motifs)} signs."
            )
        if self.orientation == "opposite" and len(self.motifs) != 2:
            raise SpecError(
                f"orientation 'opposite' needs two motifs, there are {len(self.motifs)}; give signs."
            )
        _check_probability(self.minus, "minus")

    @property
    def spacings(self) -> tuple[Spacing, ...]:
        """The rule of each pair of neighbours."""
        if isinstance(self.spacing, tuple):
            return self.spacing
        return (self.spacing,) * (len(self.motifs) - 1)

    @property
    def broken_spacings(self) -> tuple[Spacing | None, ...]:
        """What each pair of neighbours has where it breaks the rule; None where that is not said."""
        if isinstance(self.broken_spacing, tuple):
            return self.broken_spacing
        return (self.broken_spacing,) * (len(self.motifs) - 1)


@dataclass(frozen=True)
class Plant:
    """One kind of thing that a class of sequences holds: motifs drawn from a list, or a site.

    Attributes
    ----------
    motifs : sequence of str
        Motifs or sets to draw from; or ``site``.
    site : str
        Name of the site.
    count : Count
        How many a sequence.
    weights : sequence of float, optional
        Relative weights of ``motifs`` (of their members together, where they are sets).
    distinct : bool, default False
        Draw without replacement.
    minus : float, default 0.5
        Probability of the minus strand, of motifs.
    position : Position
        Where.
    role : {"core", "decoy"}
        Core instances count for the tasks' rules; decoys never do.
    broken : str
        What is wrong with it: "spacing", "order", "orientation" or "missing" (of a site), "mutated" or "shuffled".
        Broken instances have the role "broken" and count for no rule; where one is missing, the rest stay core.
    letters : {"allowed", "any"}
        Of what is mutated: only letters of at least 1 % at their place in the matrix, which makes a near miss; or any,
        the least likely first.
    """

    motifs: tuple[str, ...] = ()
    site: str = ""
    count: Count = field(default_factory=Count)
    weights: tuple[float, ...] = ()
    distinct: bool = False
    minus: float = 0.5
    position: Position = field(default_factory=Position)
    role: Role = "core"
    broken: Broken = ""
    letters: Literal["allowed", "any"] = "allowed"

    def __post_init__(self) -> None:
        if bool(self.motifs) == bool(self.site):
            raise SpecError("motifs or site: give one of them.")
        if self.weights and (len(self.weights) != len(self.motifs) or min(self.weights) <= 0):
            raise SpecError(
                f"weights are {list(self.weights)}; expected a number above 0 for each of motifs."
            )
        _check_probability(self.minus, "minus")
        if self.broken in ("spacing", "order", "orientation", "missing") and not self.site:
            raise SpecError(
                f"broken is {self.broken!r}, which only a site can be; motifs can be mutated or shuffled."
            )


@dataclass(frozen=True)
class SequenceClass:
    """A class of sequences: which share of them it is, and what is planted.

    Attributes
    ----------
    name : str
        Name, one word.
    fraction : float
        Share of all sequences.
    plant : sequence of Plant
        What is planted; nothing for background alone.
    background : Background, optional
        What this class is planted into ("uniform", "gc" or "markov"), if not what all are: a shortcut on purpose, such
        as another GC content.
    shuffled : bool, default False
        Whether the dinucleotides of each finished sequence are shuffled: it keeps the composition of a sequence that
        holds all this, but nothing planted is left, and it has no instances.
    gaps : {"arrangements", "shares"}
        How the motifs (and sites) without a wish lie: all arrangements that do not overlap are equally likely; or the
        gaps before, between and behind them have the shares of as many uniform numbers, so that they differ less.
    """

    name: str
    fraction: float
    plant: tuple[Plant, ...] = ()
    background: Background | None = None
    shuffled: bool = False
    gaps: Literal["arrangements", "shares"] = "arrangements"

    def __post_init__(self) -> None:
        _check_word(self.name, "name")
        if not 0 < self.fraction <= 1:
            raise SpecError(f"fraction is {self.fraction:g}; expected more than 0 and at most 1.")
        if self.background is not None and self.background.kind in ("genome", "shuffle"):
            raise SpecError(
                f"background.kind is {self.background.kind!r}; real windows are drawn for all classes alike. Give the "
                "class 'uniform', 'gc' or 'markov', or the specification the windows."
            )
        placed = [plant.position.kind for plant in self.plant if plant.position.kind != "uniform"]
        if self.gaps == "shares" and placed:
            raise SpecError(
                f"gaps is 'shares', which leaves no place for a {placed[0]} position; leave one out."
            )


@dataclass(frozen=True)
class Scan:
    """A scan of the finished sequences for hits of motifs that nobody planted.

    Attributes
    ----------
    motifs : sequence of str
        Motifs or sets to look for, on both strands.
    p_value : float
        A hit is a score that random uniform DNA reaches with at most this probability, at one place and strand.
    min_score : float, optional
        So is one of so many bits, however likely: at the planted motifs' ``min_score``, none is as strong as they.
    action : {"report", "remove"}
        Count them, or draw the background under them again until none is left.
    """

    motifs: tuple[str, ...]
    p_value: float = 1e-4
    min_score: float | None = None
    action: Literal["report", "remove"] = "report"

    def __post_init__(self) -> None:
        if not 0 < self.p_value < 0.1:
            raise SpecError(f"p_value is {self.p_value:g}; expected more than 0 and less than 0.1.")


@dataclass(frozen=True)
class Parts:
    """All of a `Spec`'s parts, not yet checked to fit together; see there."""

    name: str
    length: int | tuple[int, int]
    classes: tuple[SequenceClass, ...]
    tasks: tuple[Task, ...]
    motifs: Mapping[str, MotifUse] = field(default_factory=dict)
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)
    background: Background = field(default_factory=Background)
    split: Mapping[str, float] = field(default_factory=lambda: {"train": 0.8, "valid": 0.1, "test": 0.1})
    scan: Scan | None = None
    similarity: tuple[Similarity, ...] = ()
    description: str = ""
    tests: str = ""
    version: int = 1
    stream: Literal["name", "seed"] = "name"

    @property
    def title(self) -> str:
        """Name and version, as in ``tal_gata@2``."""
        return f"{self.name}@{self.version}"

    @property
    def length_range(self) -> tuple[int, int]:
        """Smallest and largest length, in bp."""
        return (self.length, self.length) if isinstance(self.length, int) else self.length

    def members(self, name: str) -> tuple[str, ...]:
        """Return the motifs that a name stands for: itself, or a set's members."""
        return self.sets.get(name, (name,))

    def all_members(self, names: tuple[str, ...]) -> Iterator[str]:
        """Go through the motifs that several names stand for."""
        for name in names:
            yield from self.members(name)


def _check_probability(value: float, key: str) -> None:
    if not 0 <= value <= 1:
        raise SpecError(f"{key} is {value:g}; expected a probability between 0 and 1.")


def _check_word(value: str, key: str) -> None:
    if not value or any(letter.isspace() or letter == "," for letter in value):
        raise SpecError(f"{key} is {value!r}; expected one word without white space or commas.")

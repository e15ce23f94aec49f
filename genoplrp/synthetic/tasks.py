"""What is asked of each sequence: a rule that holds or not, a count, or a real number; no label is derived here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from genoplrp.errors import SpecError
from genoplrp.synthetic.activity import Activity, parse_activity
from genoplrp.synthetic.rules import Rule, parse_rule


@dataclass(frozen=True)
class Task:
    """One label of each sequence.

    Attributes
    ----------
    name : str
        Name, without tabs or commas.
    kind : {"binary", "count", "real", "profile"}
        A rule that holds or not; a number of instances, or of reads; a real number made of affinities; reads at each
        base, whose sum is the label.
    rule : str
        Of a binary task; see :mod:`genoplrp.synthetic.rules`.
    activity : str
        Instead of a rule or motifs: what the sites are worth together, in the language of
        :mod:`genoplrp.synthetic.activity.expression`. It is a real label itself; the expected number of a count, which
        is drawn around it (below 0 it counts as 0); the probability that a binary label is 1; the reads expected at
        each base of a profile.
    motifs : sequence of str
        Motifs or sets whose instances are counted or summed.
    weights : dict of str to float
        Weight of a motif in a real-valued label, 1 by default; negative for a repressor.
    formula : {"sum", "saturating", "cooperative"}
        With x the weighted sum of the affinities (an instance's score divided by its motif's best score, at least 0):
        x; ``maximum * x / (x + half)``; or x + ``strength`` times the affinities of the intact instances of ``site``,
        multiplied within each instance of it.
    half, maximum, strength : float
        Constants of the formulas.
    site : str
        The site that cooperates.
    noise : float, default 0
        Probability that a binary label is flipped, or standard deviation of Gaussian noise on a real one.
    dispersion : float, default 0
        Of a count with an activity, and of the sum of a profile: with mean m its variance is m + ``dispersion`` * m**2
        (negative binomial); 0 is Poisson.
    """

    name: str
    kind: Literal["binary", "count", "real", "profile"] = "binary"
    rule: str = ""
    activity: str = ""
    motifs: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    formula: Literal["sum", "saturating", "cooperative"] = "sum"
    half: float = 1.0
    maximum: float = 1.0
    strength: float = 1.0
    site: str = ""
    noise: float = 0.0
    dispersion: float = 0.0

    def __post_init__(self) -> None:
        if not self.name or any(letter in self.name for letter in ",\t\n\r"):
            raise SpecError(f"name is {self.name!r}; expected a name without commas or tabs.")
        if self.name in ("name", "split", "class"):
            raise SpecError(
                f"name is {self.name!r}, which is a column of its own in labels.tsv; rename the task."
            )
        self._check_noise()
        if self.activity:
            self._check_activity()
        elif self.kind == "binary":
            if self.motifs or not self.rule:
                raise SpecError('a binary task needs a rule (and no motifs); write rule = "...".')
            self.parsed  # noqa: B018 (a rule that cannot be read is refused here, not when it is used)
        else:
            self._check_formula()

    @property
    def parsed(self) -> Rule:
        """The rule, parsed."""
        return parse_rule(self.rule)

    @property
    def parsed_activity(self) -> Activity:
        """The activity, parsed."""
        return parse_activity(self.activity)

    @property
    def names(self) -> tuple[str, ...]:
        """Motifs, sets, sites and classes that the label depends on."""
        if self.activity:
            return tuple(self.parsed_activity.names)
        if self.kind == "binary":
            return self.parsed.names
        return (*self.motifs, *([self.site] if self.site else []))

    @property
    def noisy(self) -> bool:
        """Whether labels differ from what they were before noise."""
        return self.noise > 0 or (bool(self.activity) and self.kind != "real")

    @property
    def definition(self) -> str:
        """What the label is, as one line: the rule, the activity, or the formula with its motifs."""
        written = " ".join(self.activity.split()) or self.rule
        formula = self.formula if self.kind == "real" else "count"
        return written or f"{formula}({', '.join(self.motifs)})"

    def _check_noise(self) -> None:
        if self.kind == "binary" and not 0 <= self.noise < 0.5:
            raise SpecError(f"noise is {self.noise:g}; the share of flipped labels lies between 0 and 0.5.")
        if self.noise < 0 or (self.kind in ("count", "profile") and self.noise):
            raise SpecError(
                f"noise is {self.noise:g}; counts have none (see dispersion), real labels a standard deviation >= 0."
            )
        drawn = self.kind == "profile" or (self.kind == "count" and self.activity)
        if self.dispersion < 0 or (self.dispersion and not drawn):
            raise SpecError(
                f"dispersion is {self.dispersion:g}; it is 0 or above, and for a count with an activity or a profile."
            )

    def _check_activity(self) -> None:
        self.parsed_activity  # noqa: B018 (an activity that cannot be read is refused here, not when it is used)
        if self.rule or self.motifs or self.weights or self.site or self.formula != "sum":
            raise SpecError(
                "activity says what the label is; leave rule, motifs, weights, formula and site out."
            )
        if self.parsed_activity.profile != (self.kind == "profile"):
            raise SpecError(
                f"activity is {self.activity!r}; that of a profile, and of nothing else, names offset: how far a base "
                "lies from a site, as in sum(A, gaussian(offset, 10))."
            )

    def _check_formula(self) -> None:
        if self.kind == "profile":
            raise SpecError('a profile needs an activity; write activity = "sum(A, gaussian(offset, 10))".')
        if not self.motifs or self.rule:
            raise SpecError(
                f'a {self.kind} task needs motifs (and no rule); write motifs = [...], or activity = "...".'
            )
        if self.formula == "saturating" and self.half <= 0:
            raise SpecError(f"half is {self.half:g}; saturation needs a number above 0.")
        if (self.formula == "cooperative") != bool(self.site):
            raise SpecError(
                f"formula is {self.formula!r} and site {self.site!r}; a cooperative label names its site."
            )

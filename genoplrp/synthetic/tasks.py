"""What is asked of each sequence: a rule that holds or not, a count, or a real number; no label is derived here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from genoplrp.errors import SpecError
from genoplrp.synthetic.rules import Rule, parse_rule


@dataclass(frozen=True)
class Task:
    """One label of each sequence.

    Attributes
    ----------
    name : str
        Name, without tabs or commas.
    kind : {"binary", "count", "real"}
        A rule that holds or not; a number of instances; a real number made of affinities.
    rule : str
        Of a binary task; see :mod:`genoplrp.synthetic.rules`.
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
    """

    name: str
    kind: Literal["binary", "count", "real"] = "binary"
    rule: str = ""
    motifs: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    formula: Literal["sum", "saturating", "cooperative"] = "sum"
    half: float = 1.0
    maximum: float = 1.0
    strength: float = 1.0
    site: str = ""
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not self.name or any(letter in self.name for letter in ",\t\n\r"):
            raise SpecError(f"name is {self.name!r}; expected a name without commas or tabs.")
        if self.name in ("name", "split", "class"):
            raise SpecError(
                f"name is {self.name!r}, which is a column of its own in labels.tsv; rename the task."
            )
        if self.kind == "binary":
            if self.motifs or not self.rule:
                raise SpecError('a binary task needs a rule (and no motifs); write rule = "...".')
            self.parsed  # noqa: B018 (a rule that cannot be read is refused here, not when it is used)
            if not 0 <= self.noise < 0.5:
                raise SpecError(
                    f"noise is {self.noise:g}; the share of flipped labels lies between 0 and 0.5."
                )
            return
        if not self.motifs or self.rule:
            raise SpecError(f"a {self.kind} task needs motifs (and no rule); write motifs = [...].")
        if self.noise < 0 or (self.kind == "count" and self.noise):
            raise SpecError(
                f"noise is {self.noise:g}; counts have none, real labels a standard deviation >= 0."
            )
        if self.formula == "saturating" and self.half <= 0:
            raise SpecError(f"half is {self.half:g}; saturation needs a number above 0.")
        if (self.formula == "cooperative") != bool(self.site):
            raise SpecError(
                f"formula is {self.formula!r} and site {self.site!r}; a cooperative label names its site."
            )

    @property
    def parsed(self) -> Rule:
        """The rule, parsed."""
        return parse_rule(self.rule)

    @property
    def names(self) -> tuple[str, ...]:
        """Motifs, sets, sites and classes that the label depends on."""
        if self.kind == "binary":
            return self.parsed.names
        return (*self.motifs, *([self.site] if self.site else []))

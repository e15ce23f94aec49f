"""What to plant: a benchmark's specification as plain objects, which mirror the TOML file; nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from genoplrp.synthetic.motifs import Motif
from genoplrp.synthetic.spec_check import check_spec
from genoplrp.synthetic.spec_parts import Parts
from genoplrp.synthetic.tasks import Task


@dataclass(frozen=True)
class Spec(Parts):
    """A benchmark: background, motifs, grammar, classes of sequences and the tasks whose labels follow from them.

    Attributes
    ----------
    name : str
        Name, one word.
    length : int or (int, int)
        Length in bp, or smallest and largest length, of which each is equally likely.
    classes : sequence of SequenceClass
        Fractions sum to 1.
    tasks : sequence of Task
        One label each.
    motifs : dict of str to MotifUse
        The motifs by name.
    sets : dict of str to sequence of str
        Named sets of motifs.
    sites : dict of str to Site
        Named sites.
    background : Background
        What the motifs are planted into.
    split : dict of str to float
        Fractions of train, valid and test.
    scan : Scan, optional
        Look for accidental hits.
    similarity : sequence of Similarity
        Bounds that were applied to how much two sets of motifs may resemble each other.
    description, tests : str
        What it is, and what it tests.
    version : int, default 1
        Which edition: what changes the data of a preset gets a new one, and the earlier ones can still be had.
    stream : {"name", "seed"}
        What the random numbers depend on: seed, name and version, so that two specifications share none at the same
        seed; or the seed alone, as before there were versions.
    """

    def __post_init__(self) -> None:
        check_spec(self)

    @cached_property
    def matrices(self) -> dict[str, Motif]:
        """The motifs alone, by name."""
        return {name: use.motif for name, use in self.motifs.items()}

    def with_motif_tasks(self) -> Spec:
        """The same sequences with more labels: the presence of each motif of the rules as a task of its own.

        Helps a network with a rule of which no motif alone tells anything, such as ``TAL1 xor GATA1``: learning the
        presence of each on the way, it finds the motifs.

        Examples
        --------
        >>> from genoplrp.synthetic import load_spec
        >>> [(task.name, task.rule) for task in load_spec("xor").with_motif_tasks().tasks]
        [('label', 'TAL1 xor GATA1'), ('TAL1', "'TAL1'"), ('GATA1', "'GATA1'")]
        """
        named = (name for task in self.tasks for name in self.all_members(task.names))
        taken = {task.name for task in self.tasks}
        new = [name for name in dict.fromkeys(named) if name in self.motifs and name not in taken]
        return replace(self, tasks=(*self.tasks, *(Task(name=name, rule=f"'{name}'") for name in new)))

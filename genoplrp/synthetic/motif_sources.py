"""Where motifs come from (files, JASPAR, consensus letters), collected into one library and its sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from genoplrp.errors import InputError, SpecError
from genoplrp.synthetic.motifs import Motif, fetch_jaspar, read_motifs
from genoplrp.synthetic.similarity import Similarity, similarity
from genoplrp.synthetic.spec_parts import MotifUse
from genoplrp.synthetic.suggestion import suggestion


@dataclass(frozen=True)
class MotifSource:
    """One ``[[motifs]]`` entry: some motifs from one place, and how their instances are drawn.

    Attributes
    ----------
    file : str
        MEME, JASPAR, TRANSFAC, HOMER or PFM file, relative to the specification.
    names : sequence of str
        Names or matrix ids to take from it; all by default.
    jaspar : sequence of str
        Or: JASPAR matrix ids or names, or taxonomic groups such as "vertebrates" (extra ``jaspar``).
    release : str
        JASPAR release.
    consensus : str
        Or: an IUPAC consensus.
    name : str
        Name of the one motif, if it should have another one.
    name_by : {"name", "id", "name.id"}
        What the motifs are called: their names (where several matrices of this source have the same one: name and
        matrix id), their matrix ids, or both.
    set : str
        Set that they are put into.
    sampling : {"pwm", "best"}
        See MotifUse.
    pseudocount : float
        Uniform sites added to the matrix.
    trim : float
        Outer positions with less information than this are cut off, in bits.
    min_information : float
        Motifs with less information in all are left out, in bits; serves to take many from a collection.
    min_score : float, optional
        See MotifUse.
    """

    file: str = ""
    names: tuple[str, ...] = ()
    jaspar: tuple[str, ...] = ()
    release: str = "JASPAR2024"
    consensus: str = ""
    name: str = ""
    name_by: Literal["name", "id", "name.id"] = "name"
    set: str = ""
    sampling: Literal["pwm", "best"] = "pwm"
    pseudocount: float = 0.0
    trim: float = 0.0
    min_information: float = 0.0
    min_score: float | None = None

    def __post_init__(self) -> None:
        if sum(map(bool, (self.file, self.jaspar, self.consensus))) != 1:
            raise SpecError("file, jaspar, consensus: give exactly one of them.")
        if self.names and not self.file:
            raise SpecError("names select from a file, and there is none; give file, or leave names out.")
        if self.pseudocount < 0:
            raise SpecError(f"pseudocount is {self.pseudocount:g}; expected a number >= 0.")
        if self.min_information < 0:
            raise SpecError(f"min_information is {self.min_information:g}; expected bits >= 0.")
        if not 0 <= self.trim < 2:
            raise SpecError(f"trim is {self.trim:g}; information lies between 0 and 2 bits.")


def collect_motifs(
    sources: Sequence[MotifSource],
    named_sets: Mapping[str, tuple[str, ...]],
    limits: Sequence[Similarity],
    folder: Path,
) -> tuple[dict[str, MotifUse], dict[str, tuple[str, ...]], tuple[Similarity, ...]]:
    """Load the motifs, put them into their sets, and apply the bounds on similarity.

    Returns
    -------
    motifs, sets, limits
        The library by name; the sets without what was dropped; the bounds, which hold now.

    Raises
    ------
    SpecError
        If a motif cannot be had, a name repeats, or a bound does not hold.
    """
    library: dict[str, MotifUse] = {}
    sets: dict[str, tuple[str, ...]] = {}
    for index, source in enumerate(sources):
        for motif in _motifs_of(source, folder, f"motifs[{index}]"):
            if motif.name in library:
                raise SpecError(
                    f"motifs[{index}]: the motif {motif.name!r} is there already; rename it with 'name', or call the "
                    'motifs by their matrix ids with name_by = "id" or "name.id".'
                )
            library[motif.name] = _use(source, motif, f"motifs[{index}]")
            if source.set:
                sets[source.set] = (*sets.get(source.set, ()), motif.name)
    _add_named_sets(sets, named_sets, library)
    dropped: set[str] = set()
    for index, limit in enumerate(limits):
        before = sets.get(limit.of, ())
        sets = _apply_limit(limit, library, sets, f"similarity[{index}]")
        dropped |= set(before) - set(sets[limit.of])
    dropped -= {name for members in sets.values() for name in members}
    held = tuple(replace(limit, action="error", keep=None) for limit in limits)
    return {name: use for name, use in library.items() if name not in dropped}, sets, held


def _add_named_sets(
    sets: dict[str, tuple[str, ...]],
    named_sets: Mapping[str, tuple[str, ...]],
    library: Mapping[str, MotifUse],
) -> None:
    """Add the sets that list their members, motifs or sets before them."""
    for name, members in named_sets.items():
        if name in sets:
            raise SpecError(f"sets.{name}: motifs were put into a set of this name already; rename it.")
        for member in members:
            if member not in library and member not in sets:
                raise SpecError(
                    f"sets.{name}: there is no motif or set {member!r}; {suggestion(member, library)}"
                )
        sets[name] = tuple(dict.fromkeys(one for member in members for one in sets.get(member, (member,))))


def _motifs_of(source: MotifSource, folder: Path, where: str) -> list[Motif]:
    try:
        if source.consensus:
            found = [Motif.from_consensus(source.consensus)]
        elif source.jaspar:
            found = fetch_jaspar(source.jaspar, source.release)
        else:
            found = _select(read_motifs(folder / source.file), source.names)
    except InputError as error:
        raise SpecError(f"{where}: {error}") from error
    if source.name:
        if len(found) != 1:
            raise SpecError(
                f"{where}.name is {source.name!r}, but the source has {len(found)} motifs; name one only."
            )
        found = [found[0].renamed(source.name)]
    else:
        found = _named_by(source.name_by, found, where)
    found = [_trimmed(motif.smoothed(source.pseudocount), source.trim, where) for motif in found]
    kept = [motif for motif in found if motif.information().sum() >= source.min_information]
    if not kept:
        most = max(found, key=lambda motif: motif.information().sum())
        raise SpecError(
            f"{where}.min_information: no motif has {source.min_information:g} bits; the most, "
            f"{most.information().sum():.1f}, has {most.name}. Lower it."
        )
    return kept


def _select(motifs: list[Motif], names: tuple[str, ...]) -> list[Motif]:
    if not names:
        return motifs
    by_name: dict[str, list[Motif]] = {}
    by_id: dict[str, list[Motif]] = {}
    for motif in motifs:
        by_name.setdefault(motif.name, []).append(motif)
        for key in (motif.matrix_id, f"{motif.name}.{motif.matrix_id}"):
            by_id.setdefault(key, []).append(motif)
    chosen = []
    for name in names:
        matches = by_name.get(name) or by_id.get(name, [])
        if not matches:
            raise SpecError(f"the file has no motif {name!r}; {suggestion(name, [*by_name, *by_id])}")
        if len(matches) > 1:
            ids = ", ".join(motif.matrix_id or "none" for motif in matches)
            raise SpecError(
                f"{name!r} stands for {len(matches)} motifs of the file; give a matrix id ({ids})."
            )
        chosen.append(matches[0])
    return chosen


def _named_by(naming: str, motifs: list[Motif], where: str) -> list[Motif]:
    """Rename motifs as asked; names that repeat are told apart by the matrix id."""
    repeats = Counter(motif.name for motif in motifs)
    named = []
    for motif in motifs:
        if naming != "name" and not motif.matrix_id:
            raise SpecError(f'{where}.name_by: {motif.name} has no matrix id; leave name_by = "name".')
        both = naming == "name.id" or (naming == "name" and repeats[motif.name] > 1 and motif.matrix_id)
        name = (
            motif.matrix_id if naming == "id" else f"{motif.name}.{motif.matrix_id}" if both else motif.name
        )
        named.append(motif.renamed(name))
    return named


def _trimmed(motif: Motif, bits: float, where: str) -> Motif:
    if bits == 0:
        return motif
    kept = np.flatnonzero(motif.information() >= bits)
    if len(kept) == 0:
        raise SpecError(f"{where}.trim: no position of {motif.name} has {bits:g} bits; lower it.")
    return replace(motif, pwm=motif.pwm[:, kept[0] : kept[-1] + 1])


def _use(source: MotifSource, motif: Motif, where: str) -> MotifUse:
    try:
        return MotifUse(motif, source.sampling, source.min_score)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error


def _apply_limit(
    limit: Similarity, library: Mapping[str, MotifUse], sets: dict[str, tuple[str, ...]], where: str
) -> dict[str, tuple[str, ...]]:
    for key, name in (("of", limit.of), ("to", limit.to)):
        if name not in sets:
            raise SpecError(f"{where}.{key}: there is no set {name!r}; {suggestion(name, sets)}")
    kept = []
    for name in sets[limit.of]:
        others = [other for other in sets[limit.to] if other != name]
        near = {other: similarity(library[name].motif, library[other].motif) for other in others}
        if name in sets[limit.to]:
            near[name] = 1.0
        closest = max(near, key=lambda other: near[other])
        if near[closest] <= limit.maximum:
            kept.append(name)
        elif limit.action == "error":
            raise SpecError(
                f"{where}: {name} resembles {closest} by {near[closest]:.2f}, more than "
                f'the maximum of {limit.maximum:g}; leave it out, or set action = "drop".'
            )
    if not kept or (limit.keep is not None and len(kept) < limit.keep):
        raise SpecError(
            f"{where}: {len(kept)} motifs of {limit.of!r} are left; raise the maximum or give more motifs."
        )
    return sets | {limit.of: tuple(kept[: limit.keep])}

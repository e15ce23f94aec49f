"""Motifs as position weight matrices, and the files they come from; not where they are planted."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from genoplrp.errors import InputError, MissingDependencyError
from genoplrp.sequence import ALPHABET, IUPAC
from genoplrp.sequence.fasta import open_text

#: Share of a uniform base that every PWM column is mixed with before logarithms are taken, so that scores stay finite.
SCORE_FLOOR = 0.01

_DEFAULT_SITES = 20.0
#: Taxonomic groups of JASPAR.
_TAXA = ("vertebrates", "plants", "insects", "nematodes", "fungi", "urochordates")


@dataclass(frozen=True, eq=False)
class Motif:
    """A position weight matrix with a name.

    Attributes
    ----------
    name : str
        Name, without white space.
    pwm : array, (4, w), float64
        Probability of A, C, G, T at each position; columns sum to 1.
    matrix_id : str
        Accession in the database it comes from, or "".
    sites : float
        Number of sites behind the matrix: how much a pseudocount weighs.
    family : str
        Family of the factor in the database it comes from, or "".

    Examples
    --------
    >>> motif = Motif.from_consensus("TGASTCA", name="AP1")
    >>> motif.width, motif.consensus(), round(float(motif.information().sum()), 1)
    (7, 'TGASTCA', 13.0)
    """

    name: str
    pwm: Float[np.ndarray, "4 width"]
    matrix_id: str = ""
    sites: float = _DEFAULT_SITES
    family: str = ""

    def __post_init__(self) -> None:
        if not self.name or any(letter.isspace() or letter == "," for letter in self.name):
            raise InputError(
                f"The motif name {self.name!r} is empty or holds white space or a comma; rename it."
            )
        object.__setattr__(self, "pwm", _check_pwm(self.pwm, self.name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Motif):
            return NotImplemented
        return self.name == other.name and self.sites == other.sites and np.array_equal(self.pwm, other.pwm)

    def __hash__(self) -> int:
        return hash((self.name, self.pwm.tobytes()))

    @classmethod
    def from_consensus(cls, consensus: str, name: str | None = None, sites: float = _DEFAULT_SITES) -> Motif:
        """Make a motif of an IUPAC consensus: each code stands for its bases in equal shares.

        Raises
        ------
        InputError
            If a letter is no IUPAC code.
        """
        columns = []
        for position, letter in enumerate(consensus.upper().replace("U", "T")):
            if letter not in IUPAC:
                raise InputError(
                    f"The consensus {consensus!r} holds {letter!r} at position {position}: no IUPAC code."
                )
            columns.append([float(base in IUPAC[letter]) / len(IUPAC[letter]) for base in ALPHABET])
        if not columns:
            raise InputError("The consensus is empty; give at least one IUPAC letter.")
        return cls(name or consensus, np.array(columns).T, sites=sites)

    @property
    def width(self) -> int:
        """Number of positions, in bp."""
        return int(self.pwm.shape[1])

    def information(self) -> Float[np.ndarray, " width"]:
        """Information content of each position, in bits: 2 - entropy, 0 to 2."""
        p = self.pwm
        bits: np.ndarray = 2 + np.sum(p * np.log2(np.where(p > 0, p, 1)), axis=0)
        return np.asarray(np.maximum(bits, 0))

    def log_odds(self) -> Float[np.ndarray, "4 width"]:
        """Log-odds of each base against a uniform background, in bits, with the PWM mixed with 1 % of it."""
        return np.asarray(np.log2(((1 - SCORE_FLOOR) * self.pwm + SCORE_FLOOR / 4) * 4))

    @property
    def best_score(self) -> float:
        """Highest sum of log-odds that a sequence can reach, in bits."""
        return float(self.log_odds().max(axis=0).sum())

    def consensus(self) -> str:
        """IUPAC consensus: all bases of at least half the probability of the likeliest one."""
        codes = {frozenset(bases): letter for letter, bases in IUPAC.items()}
        kept = self.pwm >= self.pwm.max(axis=0) / 2
        return "".join(codes[frozenset(np.array(list(ALPHABET))[column])] for column in kept.T)

    def reverse_complement(self) -> Motif:
        """Return the same motif read from the other strand."""
        return replace(self, pwm=self.pwm[::-1, ::-1].copy())

    def smoothed(self, pseudocount: float) -> Motif:
        """Return the motif with ``pseudocount`` uniform sites added to its own."""
        if pseudocount == 0:
            return self
        share = pseudocount / (self.sites + pseudocount)
        return replace(self, pwm=(1 - share) * self.pwm + share / 4)

    def renamed(self, name: str) -> Motif:
        """Return the same motif under another name."""
        return replace(self, name=name)


def read_motifs(path: str | os.PathLike[str]) -> list[Motif]:
    """Read motifs from a MEME, JASPAR, TRANSFAC, HOMER or raw four-row PFM file; the content decides which it is.

    Parameters
    ----------
    path : path
        File, plain or gzip.

    Returns
    -------
    list of Motif
        In the file's order.

    Raises
    ------
    InputError
        If the file is missing, of no known format, or a matrix makes no sense.
    """
    path = Path(path)
    with open_text(path) as handle:
        try:
            text = handle.read()
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a text file; expected MEME, JASPAR, TRANSFAC or PFM.") from error
    motifs = _parse(text, path)
    if not motifs:
        raise InputError(f"{path} holds no motif; expected MEME, JASPAR, TRANSFAC, HOMER or PFM.")
    return motifs


def write_meme(path: str | os.PathLike[str], motifs: Sequence[Motif]) -> None:
    """Write motifs in the minimal MEME format, with all digits, so that reading gives the same numbers.

    Parameters
    ----------
    path : path
        File to write or replace.
    motifs : sequence of Motif
        At least one.
    """
    lines = ["MEME version 4", "", f"ALPHABET= {ALPHABET}", "", "strands: + -", ""]
    lines += ["Background letter frequencies", "A 0.25 C 0.25 G 0.25 T 0.25", ""]
    for motif in motifs:
        lines.append(f"MOTIF {motif.name} {motif.matrix_id}".rstrip())
        lines.append(f"letter-probability matrix: alength= 4 w= {motif.width} nsites= {motif.sites:g} E= 0")
        lines += [" ".join(repr(float(p)) for p in column) for column in motif.pwm.T]
        lines.append("")
    Path(path).write_text("\n".join(lines), encoding="utf-8", newline="\n")


def fetch_jaspar(names: Sequence[str], release: str = "JASPAR2024") -> list[Motif]:
    """Take motifs from JASPAR by matrix id or by name; needs the extra ``jaspar``.

    Parameters
    ----------
    names : sequence of str
        Matrix ids (``MA0079.3``), or names (``SP1``), which must stand for one matrix in the CORE collection; a
        taxonomic group (``vertebrates``, ``plants``, ``insects``, ...) stands for all of its matrices.
    release : str, default "JASPAR2024"
        JASPAR release.

    Returns
    -------
    list of Motif

    Raises
    ------
    MissingDependencyError
        If pyjaspar is not installed.
    InputError
        If the release or a motif is unknown, or a name stands for several matrices.
    """
    try:
        from pyjaspar import jaspardb
    except ImportError as error:
        raise MissingDependencyError(
            "Motifs from JASPAR need pyjaspar: pip install 'genoplrp[jaspar]'."
        ) from error
    import warnings

    known = jaspardb().get_releases()
    if release not in known:
        raise InputError(
            f"There is no JASPAR release {release!r} in this pyjaspar; there are {', '.join(known)}."
        )
    base = jaspardb(release=release)
    found = []
    for name in names:
        if name in _TAXA:
            group = base.fetch_motifs(collection="CORE", tax_group=[name])
            found += sorted(map(_from_jaspar, group), key=lambda motif: motif.matrix_id)
            continue
        with warnings.catch_warnings():  # pyjaspar warns where nothing is found; the message below says it
            warnings.simplefilter("ignore")
            by_id = base.fetch_motif_by_id(name) if name.startswith(("MA", "UN")) else None
            matches = [by_id] if by_id is not None else list(base.fetch_motifs_by_name(name) or [])
        matches = [match for match in matches if match is not None]
        if len(matches) != 1:
            which = ", ".join(match.matrix_id for match in matches) or "none"
            raise InputError(
                f"{release}: {name!r} stands for {len(matches)} matrices ({which}); give one matrix id."
            )
        found.append(_from_jaspar(matches[0]))
    return found


def _from_jaspar(record: Any) -> Motif:
    counts = np.array([record.counts[base] for base in ALPHABET], dtype=np.float64)
    return _from_counts(counts, _word(record.name), record.matrix_id)


def _parse(text: str, path: Path) -> list[Motif]:
    first = text.lstrip()[:200]
    if first.startswith("MEME version"):
        return list(_parse_meme(text, path))
    if first.startswith(">") and _is_homer(first):
        return list(_parse_homer(text, path))
    if first.startswith(">"):
        return _parse_with_biopython(text, "jaspar", path)
    if first.startswith(("AC", "ID", "VV", "XX", "DE", "NA")):
        return _parse_with_biopython(text, "TRANSFAC", path)
    return [_parse_rows(text, path)]


def _parse_meme(text: str, path: Path) -> Iterator[Motif]:
    """Minimal MEME: MOTIF lines, each followed by a letter-probability matrix."""
    lines = iter(enumerate(text.splitlines(), start=1))
    title: list[str] = []
    for number, line in lines:
        words = line.split()
        if words[:1] == ["ALPHABET="] and words[1:] not in ([ALPHABET], []):
            raise InputError(
                f"{path}, line {number}: the alphabet is {' '.join(words[1:])}; only ACGT is known."
            )
        if words[:1] == ["MOTIF"]:
            title = words[1:]
        if not line.startswith("letter-probability matrix"):
            continue
        keys = line.split(":", 1)[1].replace("=", " ").split()
        options = dict(zip(keys[::2], keys[1::2], strict=False))
        if not title or "w" not in options:
            raise InputError(f"{path}, line {number}: a matrix without a MOTIF line or without 'w='.")
        width, sites = _meme_options(options, f"{path}, line {number}")
        rows: list[list[float]] = []
        for at, row in lines:
            if not row.strip() and not rows:
                continue
            rows.append(_numbers(row, path, at))
            if len(rows[-1]) != len(ALPHABET):
                raise InputError(
                    f"{path}, line {at}: {row.strip()[:60]!r} is not four probabilities (A C G T)."
                )
            if len(rows) == width:
                break
        yield Motif(
            title[0],
            _normalised(np.array(rows).T, f"{path}: motif {title[0]}"),
            matrix_id=title[1] if len(title) > 1 else "",
            sites=sites,
        )
        title = []


def _meme_options(options: dict[str, str], where: str) -> tuple[int, float]:
    """Width and number of sites that the head of a matrix names."""
    try:
        width, sites = int(options["w"]), float(options.get("nsites", _DEFAULT_SITES))
    except ValueError as error:
        raise InputError(f"{where}: w or nsites is no number ({error}).") from error
    if width < 1 or not math.isfinite(sites) or sites < 0:
        raise InputError(
            f"{where}: w is {width} and nsites {sites:g}; expected w of 1 or more, nsites of 0 or more."
        )
    return width, sites or _DEFAULT_SITES


def _parse_with_biopython(text: str, format_name: str, path: Path) -> list[Motif]:
    import io

    from Bio import motifs

    try:
        # Files in the wild are looser than the format: columns with one space, no final separator.
        records = motifs.parse(io.StringIO(text), format_name, strict=False)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise InputError(f"{path} is not a valid {format_name} file: {error}") from error
    found = []
    for record in records:
        counts = np.array([record.counts[base] for base in ALPHABET], dtype=np.float64)
        name = (
            str(record.get("ID") or record.get("NA") or record.get("AC"))
            if format_name == "TRANSFAC"
            else record.name
        )
        identifier = str(record.get("AC") or "") if format_name == "TRANSFAC" else str(record.matrix_id or "")
        found.append(_from_counts(counts, "_".join(str(name).split()), "_".join(identifier.split())))
    return found


def _is_homer(text: str) -> bool:
    """HOMER's header is ``>consensus<tab>name<tab>log-odds threshold``; JASPAR's has two words at most."""
    words = text.split("\n", 1)[0].split("\t")
    try:
        return len(words) > 2 and math.isfinite(float(words[2]))
    except ValueError:
        return False


def _parse_homer(text: str, path: Path) -> Iterator[Motif]:
    """HOMER: a header, then one row of four probabilities a position; the name ends at the first slash."""
    for record in text.split(">")[1:]:
        header, *lines = record.splitlines()
        title = (header.split("\t")[1:2] or [""])[0].split("/")[0] or header.split()[0]
        number = 1 + text[: text.index(">" + record)].count("\n")
        rows = [_numbers(line, path, number + k) for k, line in enumerate(lines, start=1) if line.strip()]
        if not rows or any(len(row) != 4 for row in rows):
            raise InputError(f"{path}: motif {title} is not made of rows of four probabilities (A C G T).")
        yield Motif(_word(title), _normalised(np.array(rows).T, f"{path}: motif {title}"))


def _word(title: str) -> str:
    return "_".join(title.replace(",", "_").split())


def _parse_rows(text: str, path: Path) -> Motif:
    """Four rows of numbers (A, C, G, T), with or without the letters in front."""
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        cleaned = line.replace("[", " ").replace("]", " ").replace("|", " ").replace(":", " ").strip()
        if cleaned[:1].upper() in ALPHABET and cleaned[:1]:
            cleaned = cleaned[1:]
        if cleaned.strip():
            rows.append(_numbers(cleaned, path, number))
    if len(rows) != 4 or len({len(row) for row in rows}) != 1:
        raise InputError(
            f"{path} is not a motif file: expected MEME, JASPAR, TRANSFAC, or four rows of counts (A C G T)."
        )
    return _from_counts(np.array(rows), path.stem, "")


def _numbers(line: str, path: Path, number: int) -> list[float]:
    try:
        return [float(word) for word in line.split()]
    except ValueError:
        raise InputError(f"{path}, line {number}: {line.strip()[:60]!r} is not a row of numbers.") from None


def _from_counts(counts: np.ndarray, name: str, matrix_id: str) -> Motif:
    sites = float(np.max(counts.sum(axis=0), initial=0.0))
    # A matrix of probabilities says nothing about the number of sites.
    sites = sites if sites > 1.5 else _DEFAULT_SITES
    return Motif(name, _normalised(counts, f"motif {name}"), matrix_id=matrix_id, sites=round(sites, 3))


def _normalised(matrix: np.ndarray, where: str) -> np.ndarray:
    if matrix.ndim != 2 or matrix.shape[0] != len(ALPHABET) or matrix.shape[1] == 0:
        raise InputError(
            f"{where}: the matrix has the shape {matrix.shape}; expected four bases by at least 1 position."
        )
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise InputError(f"{where}: the matrix holds negative or non-finite numbers.")
    total = matrix.sum(axis=0)
    if (total <= 0).any():
        raise InputError(
            f"{where}: position {int(np.argmax(total <= 0))} is all zero; each needs a count or a probability."
        )
    # What sums to 1 already is left as it is: files written with all digits read back as the same numbers.
    return matrix if np.abs(total - 1).max() < 1e-9 else matrix / total


def _check_pwm(pwm: np.ndarray, name: str) -> np.ndarray:
    array = np.array(pwm, dtype=np.float64)
    if array.ndim == 2 and array.shape[0] != 4 and array.shape[1] == 4:
        raise InputError(f"The PWM of {name} has the shape {array.shape}; expected (4, w): transpose it.")
    array = _normalised(array, f"motif {name}")
    if not math.isclose(float(np.asarray(pwm).sum()), array.shape[1], rel_tol=1e-3):
        raise InputError(f"The columns of the PWM of {name} do not sum to 1; give probabilities, not counts.")
    array.flags.writeable = False
    return array

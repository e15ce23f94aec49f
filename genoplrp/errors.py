"""The package's own exceptions: what the caller did wrong, or what the package cannot do."""

from __future__ import annotations

from collections.abc import Iterable


class GenoplrpError(Exception):
    """Base class of every error that genoplrp raises on purpose."""


class InputError(GenoplrpError, ValueError):
    """Something handed in is wrong: the message says what, where, and what to do (command line: exit code 2)."""


class ModelInputError(InputError, RuntimeError):
    """The model's own forward pass does not take what it was given: another length or order of axes."""


class SpecError(InputError):
    """A synthetic specification cannot be read or does not make sense; the message names the key."""


class CheckpointError(InputError):
    """A file is not a checkpoint of this package, or does not fit the architecture it names."""


class OutputExistsError(InputError):
    """The place to write to exists already; nothing was overwritten."""


class UnsupportedModelError(InputError):
    """The model cannot be explained as handed in (compiled, scripted, wrapped); the message names the way out."""


class UnsupportedOperationError(GenoplrpError):
    """The model uses an operation that has no relevance rule; the message names it, its module and the remedy."""


class MissingDependencyError(GenoplrpError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


class NonFiniteError(GenoplrpError, ArithmeticError):
    """NaN or infinity where a finite number is needed; the message says where it came from."""


def check_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Refuse a value that is none of those known.

    Parameters
    ----------
    name : str
        What the caller's argument is called.
    value : object
        What was given.
    known : iterable of str
        What can be given.

    Raises
    ------
    InputError
        If the value is not known; the message names those that are.

    Examples
    --------
    >>> check_choice("edge", "cut", ("drop", "pad"))
    Traceback (most recent call last):
        ...
    genoplrp.errors.InputError: edge='cut': choose one of drop, pad
    """
    choices = list(known)
    if value not in choices:
        raise InputError(f"{name}={value!r}: choose one of {', '.join(choices)}")


def check_columns(name: str, columns: Iterable[object], needed: Iterable[str], advice: str = "") -> None:
    """Refuse a table that lacks columns.

    Parameters
    ----------
    name : str
        What the message calls the table.
    columns : iterable
        Columns that it has.
    needed : iterable of str
        Columns that it must have.
    advice : str, default ""
        What to do; stands at the end of the message.

    Raises
    ------
    InputError
        If one is missing; the message names those missing and those there.

    Examples
    --------
    >>> check_columns("the table of regions", ["chrom", "start"], ["start", "end"])
    Traceback (most recent call last):
        ...
    genoplrp.errors.InputError: the table of regions lacks the column 'end'; it has chrom, start
    """
    there = list(columns)
    missing = [repr(column) for column in needed if column not in there]
    if missing:
        what = f"{name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}"
        has = ", ".join(map(str, there)) or "none"
        raise InputError(f"{what}; it has {has}" + (f": {advice}" if advice else ""))

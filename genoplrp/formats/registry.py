"""The registry of the formats that explained sequences are exported to; the writers stand beside their own subject."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from genoplrp.errors import InputError, check_choice
from genoplrp.formats.explained import Explained

Writer = Callable[..., object]
Option = Literal["scores", "overlap"]


class Format(NamedTuple):
    """One format.

    Attributes
    ----------
    write
        ``write(explained, path, *, overwrite=False)``, and the option by its name.
    option
        What the writer lets a user choose: ``"scores"`` (projected or hypothetical), ``"overlap"`` (what counts where
        windows overlap), or nothing.
    """

    write: Writer
    option: Option | None = None


FORMATS: dict[str, Format] = {}
"""Name, as ``genoplrp export --to`` takes it -> format."""
_BUILT_IN: set[str] = set()


def built_in(name: str, option: Option | None = None) -> Callable[[Writer], Writer]:
    """Register a writer of the package."""

    def register(write: Writer) -> Writer:
        FORMATS[name] = Format(write, option)
        _BUILT_IN.add(name)
        return write

    return register


def register_format(name: str, write: Writer, *, option: Option | None = None) -> None:
    """Give `export` your own format.

    Parameters
    ----------
    name
        Its name; not one of the package's.
    write
        ``write(explained, path, *, overwrite=False)``; with an option also that, by its name. `Explained` gives the
        sequences block by block, so that a genome fits into memory.
    option
        ``"scores"`` or ``"overlap"`` where the writer takes it.

    Raises
    ------
    InputError
        If the name is taken.

    Examples
    --------
    >>> def write_lengths(explained, path, *, overwrite=False):
    ...     Path(path).write_text(f"{len(explained)} x {explained.length} bp")
    >>> register_format("lengths", write_lengths)
    >>> _ = FORMATS.pop("lengths")
    """
    if name in _BUILT_IN:
        raise InputError(f"{name!r} is a format of the package; take another name")
    FORMATS[name] = Format(write, option)


def export(
    explained: Explained, name: str, path: str | Path, *, overwrite: bool = False, **options: str
) -> None:
    """Write explained sequences in one of the formats.

    Parameters
    ----------
    explained
        What to write.
    name
        The format.
    path
        File (or folder, for formats that are folders) to make.
    overwrite
        Replace what is there.
    **options
        ``scores=`` and ``overlap=``; a format takes the one it knows.

    Raises
    ------
    InputError
        If there is no such format, or the writer's own.

    Examples
    --------
    >>> export(explained, "bigwig", "relevance.bw", overlap="mean")  # doctest: +SKIP
    """
    check_choice("format", name, FORMATS)
    form = FORMATS[name]
    chosen = {} if form.option is None or form.option not in options else {form.option: options[form.option]}
    form.write(explained, path, overwrite=overwrite, **chosen)

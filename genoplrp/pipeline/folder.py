"""A result folder that appears under its name only when it is complete, and continues an interrupted run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from genoplrp.errors import OutputExistsError

T = TypeVar("T")
_SETTINGS = ".settings.json"


@contextmanager
def result_folder(out: Path, settings: dict[str, Any], log: Callable[[str], None]) -> Iterator[Path]:
    """Work in ``<out>.partial``, and rename it to ``out`` at the end.

    Parameters
    ----------
    out
        The folder; it must not exist.
    settings
        What the results depend on: an interrupted run is continued only if they are the same.
    log
        Told what happens.

    Yields
    ------
    Path
        The folder to write into.

    Raises
    ------
    OutputExistsError
        If ``out`` exists, or an interrupted run with other settings stands in the way.
    """
    if out.exists():
        raise OutputExistsError(
            f"{out} exists already; nothing was written. Choose another --out, or remove it"
        )
    partial = out.with_name(out.name + ".partial")
    text = json.dumps(settings, sort_keys=True)
    if partial.exists():
        found = partial / _SETTINGS
        if not found.is_file() or found.read_text() != text:
            raise OutputExistsError(
                f"{partial} holds an interrupted run with other settings{_difference(found, settings)}; remove it, "
                "or run with the same settings to continue"
            )
        log(f"Continuing the interrupted run in {partial}")
    partial.mkdir(parents=True, exist_ok=True)
    (partial / _SETTINGS).write_text(text)
    try:
        yield partial
    except BaseException:
        if {p.name for p in partial.iterdir()} == {_SETTINGS}:  # nothing was made yet: leave nothing behind
            (partial / _SETTINGS).unlink()
            partial.rmdir()
        raise
    (partial / _SETTINGS).unlink()
    partial.rename(out)


def made_once(
    path: Path, load: Callable[[Path], T], make: Callable[[], T], save: Callable[[T, Path], object]
) -> T:
    """Return what an interrupted run left at ``path``, or make and save it (each save is complete or not at all)."""
    if path.exists():
        return load(path)
    made = make()
    save(made, path)
    return made


def _difference(found: Path, settings: Mapping[str, Any]) -> str:
    """Say which settings of an interrupted run were others, if its file can be read."""
    try:
        there = json.loads(found.read_text())
        changed = [
            f"{key} {there.get(key)}, now {settings.get(key)}"
            for key in {**there, **settings}
            if there.get(key) != settings.get(key)
        ]
    except (OSError, ValueError, AttributeError, TypeError):
        return ""
    return f" ({'; '.join(changed)})" if changed else ""

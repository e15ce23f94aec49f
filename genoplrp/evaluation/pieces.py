"""Files on disk, each with a record of what it was made of; one that was made of something else does not count.

Nothing is computed here. A record holds the SHA-256 of its file too: a file that was cut short or changed is not there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genoplrp.evaluation.ingredients import Ingredients, file_content

RECORDS = "made_of"


class Pieces:
    """The files of one folder and their records.

    Parameters
    ----------
    folder : Path
        Where they lie; records lie below it in ``made_of/``.

    Examples
    --------
    >>> import tempfile
    >>> pieces = Pieces(Path(tempfile.mkdtemp()))
    >>> path = pieces.path("scores", "ism", "csv")
    >>> path.parent.mkdir()
    >>> _ = path.write_text("rma")
    >>> pieces.record("scores", "ism", path, {"p": 1})
    >>> pieces.is_ready("scores", "ism", path, {"p": 1}), pieces.is_ready("scores", "ism", path, {"p": 2})
    (True, False)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, part: str, name: str, suffix: str) -> Path:
        """Where a piece lies."""
        return self.folder / part / f"{_file_name(name)}.{suffix}"

    def is_ready(self, part: str, name: str, path: Path, made_of: Ingredients) -> bool:
        """Whether the file is there, whole, and made of just this."""
        found = self._read(part, name)
        if found is None or "error" in found or found["made_of"] != _plain(made_of) or not path.is_file():
            return False
        return bool(found["sha256"] == file_content(path))

    def record(self, part: str, name: str, path: Path, made_of: Ingredients, **facts: object) -> None:
        """Note what a finished file was made of, and facts about it."""
        self._write(part, name, {"made_of": _plain(made_of), "sha256": file_content(path), **facts})

    def record_failure(self, part: str, name: str, made_of: Ingredients, reason: str) -> None:
        """Note that a piece could not be made, and why."""
        self._write(part, name, {"made_of": _plain(made_of), "error": reason})

    def failure(self, part: str, name: str) -> str | None:
        """Why a piece could not be made the last time; None if it was made or never tried."""
        return (self._read(part, name) or {}).get("error")

    def fact(self, part: str, name: str, key: str) -> Any:
        """A fact from a piece's record, ``sha256`` among them; None where there is none."""
        return (self._read(part, name) or {}).get(key)

    def changes(self, part: str, name: str, made_of: Ingredients) -> list[str]:
        """Which ingredients differ from those that the piece was made of; none if it was never made, or failed."""
        found = self._read(part, name)
        if found is None or "error" in found:
            return []
        before, now = found["made_of"], _plain(made_of)
        return [key for key in {**before, **now} if before.get(key) != now.get(key)]

    def forget(self, part: str, name: str) -> None:
        """Take the record of a piece away."""
        self._record_path(part, name).unlink(missing_ok=True)

    def _record_path(self, part: str, name: str) -> Path:
        return self.folder / RECORDS / part / f"{_file_name(name)}.json"

    def _read(self, part: str, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads(self._record_path(part, name).read_text())
        except (OSError, ValueError):
            return None
        whole = isinstance(found, dict) and isinstance(found.get("made_of"), dict)
        return found if whole and ("error" in found or "sha256" in found) else None

    def _write(self, part: str, name: str, record: dict[str, Any]) -> None:
        path = self._record_path(part, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(record, indent=1) + "\n")
        unfinished.replace(path)


def _file_name(name: str) -> str:
    # A colon is no letter of a file name everywhere.
    return name.replace(":", "+")


def _plain(made_of: Ingredients) -> Any:
    """As it reads back from JSON."""
    return json.loads(json.dumps(made_of))

"""Temporary names: complete output or none, and nothing of killed processes is left beside it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genoplrp import partial
from genoplrp.formats.writing import written, written_folder
from genoplrp.sequence.fasta import write_fasta

KILLED = """
import os, sys
from pathlib import Path
from genoplrp import partial
with partial.{which}(Path({path!r})) as made:
    (made / "half" if made.suffix == ".partial" else made).write_text("half")
    os.kill(os.getpid(), 9)
"""


def kill_one(path: Path, which: str = "new_folder") -> None:
    code = KILLED.format(which=which, path=str(path))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def dead_process() -> int:
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    return finished.pid


@pytest.mark.parametrize("which", ["new_folder", "new_file"])
def test_a_later_run_takes_away_what_killed_ones_left(tmp_path: Path, which: str) -> None:
    target = tmp_path / "data.fa"
    for _ in range(2):
        kill_one(target, which)
    assert len(names(tmp_path)) == 1, "each run takes away what the one before it left"
    with getattr(partial, which)(target) as made:
        (made / "file" if which == "new_folder" else made).write_text("whole")
    assert names(tmp_path) == ["data.fa"]


def test_what_older_versions_left_goes_too(tmp_path: Path) -> None:
    (tmp_path / f".data.{dead_process()}.partial").mkdir()
    partial.clear_abandoned(tmp_path / "data")
    assert names(tmp_path) == []


def test_the_living_and_other_outputs_are_left_alone(tmp_path: Path) -> None:
    dead = dead_process()
    kept = [
        f".data.{os.getppid()}.partial",
        f".other.{dead}.partial",
        f"data.{dead}.partial",
        ".data.x.partial",
    ]
    kept += [f".data.more.{dead}.partial", f".data.deadbeef-{dead}-00ff00.partial"]  # another machine's
    for name in kept:
        (tmp_path / name).mkdir()
    with partial.new_folder(tmp_path / "data") as mine:
        partial.clear_abandoned(tmp_path / "data")
        assert mine.is_dir()
    assert names(tmp_path) == sorted([*kept, "data"])


def test_what_another_machine_has_not_touched_for_a_day_is_abandoned(tmp_path: Path) -> None:
    left = tmp_path / ".data.deadbeef-1-00ff00.partial"
    left.mkdir()
    os.utime(left, (time.time() - 90_000,) * 2)
    partial.clear_abandoned(tmp_path / "data")
    assert names(tmp_path) == []


def test_a_number_that_came_again_does_not_keep_the_dead_alive(tmp_path: Path) -> None:
    left = tmp_path / f".data.{os.getpid()}.partial"
    left.mkdir()
    os.utime(left, (time.time() - 80_000,) * 2)
    partial.clear_abandoned(tmp_path / "data")
    assert names(tmp_path) == []


def test_what_was_moved_aside_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    old = tmp_path / f".data.{dead_process()}.old"
    old.mkdir()
    (old / "file").write_text("years of work")
    partial.clear_abandoned(tmp_path / "data")
    assert (tmp_path / "data" / "file").read_text() == "years of work"
    assert names(tmp_path) == ["data"]


def test_an_error_leaves_the_old_output_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), partial.new_file(tmp_path / "a.txt") as made:
        made.write_text("half")
        raise RuntimeError
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_every_writer_clears_up(tmp_path: Path) -> None:
    def fasta(path: Path) -> None:
        write_fasta(path, ["ACGT"])

    def file(path: Path) -> None:
        with written(path) as made:
            made.write_text("x")

    def folder(path: Path) -> None:
        with written_folder(path) as made:
            (made / "manifest.json").write_text("{}")

    for write in (fasta, file, folder):
        place = tmp_path / write.__name__
        place.mkdir()
        kill_one(place / "out.fa", "new_file")
        write(place / "out.fa")
        assert names(place) == ["out.fa"], write.__name__

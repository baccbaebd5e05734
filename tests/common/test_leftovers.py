"""What a process that was killed leaves, and what the next one makes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metaselector.common.files import atomic_directory
from metaselector.common.leftovers import beside, held, recover, sweep_files

WORK = """
import os, signal, sys, time
from pathlib import Path
from metaselector.common import files

path, moment = Path(sys.argv[1]), sys.argv[2]
replace = files.os.replace
def counted(source, target):
    if moment == "between" and target == path:
        stop()
    replace(source, target)
def stop():
    print("here", flush=True)
    time.sleep(60)
files.os.replace = counted
with files.atomic_directory(path) as temporary:
    (temporary / "new").touch()
    if moment == "filling":
        stop()
"""


@contextmanager
def working(path: Path, moment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that fills `path`, stopped at a moment."""
    command = [sys.executable, "-c", WORK, str(path), moment]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with something in it, which the next one is to replace."""
    path = tmp_path / "runs" / "data"
    path.mkdir(parents=True)
    (path / "old").touch()
    return path


def test_what_a_killed_process_left_is_swept(folder: Path) -> None:
    with working(folder, "filling"):
        assert len(names(folder.parent)) == 2
        with atomic_directory(folder) as temporary:  # leaves alone what another one is filling
            (temporary / "mine").touch()
        assert len(names(folder.parent)) == 2
    with atomic_directory(folder) as temporary:
        (temporary / "next").touch()
    assert names(folder.parent) == ["data"]
    assert names(folder) == ["next"]


def test_a_kill_between_two_moves_loses_nothing(folder: Path) -> None:
    with working(folder, "between"):
        assert not folder.exists()
        recover(folder)  # the other process has only not come to its end yet
        assert not folder.exists()
    recover(folder)
    assert names(folder.parent) == ["data"]
    assert names(folder) == ["old"]


def test_a_failed_replacement_keeps_what_was_brought_back(folder: Path) -> None:
    with working(folder, "between"):
        pass
    with pytest.raises(ValueError, match="mine"), atomic_directory(folder):
        raise ValueError("mine")
    assert names(folder.parent) == ["data"]
    assert names(folder) == ["old"]


def test_only_our_own_names_are_swept(folder: Path) -> None:
    parent = folder.parent
    mine = [
        ".data-abcdefgh", ".metaselector-new-data", ".metaselector-new-data-abcdefghi",
        ".metaselector-new-data-abcdefgh-x", ".metaselector-new-other-12345678",
        ".metaselector-new-data-1234567z",
    ]  # fmt: skip
    for name in mine:
        (parent / name).mkdir()
    (parent / ".metaselector-new-data-12345678").symlink_to(folder)
    (parent / ".metaselector-old-data-12345678").write_text("a file")
    before = names(parent)
    recover(folder)
    assert names(parent) == before


def test_a_folder_that_may_not_be_written(folder: Path) -> None:
    with held(folder) as first, held(folder) as second:
        assert (first, second) == (True, False)
    with held(folder / "missing") as nothing:
        assert nothing is None
    recover(folder / "missing" / "deeper")


def test_names_beside_are_new(tmp_path: Path) -> None:
    assert beside(tmp_path / "data", "new") != beside(tmp_path / "data", "new")


def test_files_are_swept_once_nobody_writes_them(tmp_path: Path) -> None:
    deep = tmp_path / "logs"
    deep.mkdir()
    old, new = deep / ".metaselector-12345678.csv", deep / ".metaselector-12345679.csv"
    others = [deep / ".metaselector-notes.csv", deep / ".12345678.csv", deep / "x.csv"]
    for path in (old, new, *others):
        path.touch()
    with held(new):
        sweep_files(tmp_path)
    assert names(deep) == sorted(path.name for path in (new, *others))

"""A killed command that leaves something half done is caught."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.fuzz import kill
from benchmarks.fuzz.target import Different

Do = Callable[[Path, str, Path], int]


def die_once(folder: Path) -> None:
    """End as if killed here, in the first run that may be killed."""
    moments = folder / "moments"
    if moments.exists() and not (folder / "logs").exists():
        (folder / "logs").mkdir()  # not compared
        os.kill(os.getpid(), signal.SIGKILL)


def whole(world: Path, step: str, folder: Path) -> int:
    """Writes its result completely or not at all."""
    part = folder / "run" / "part"
    part.write_text("done")
    die_once(folder)
    part.rename(folder / "run" / "result")
    return 0


def half(world: Path, step: str, folder: Path) -> int:
    """Takes the unfinished file of an earlier run for its result."""
    result = folder / "run" / "result"
    if not result.exists():
        result.write_text("do")
        die_once(folder)
        result.write_text("done")
    return 0


def litters(world: Path, step: str, folder: Path) -> int:
    part = folder / "run" / f".part-{time.monotonic_ns()}"
    part.touch()
    die_once(folder)
    part.unlink()
    return 0


def fails(world: Path, step: str, folder: Path) -> int:
    if (folder / "run" / "begun").exists():
        return 1
    (folder / "run" / "begun").touch()
    die_once(folder)
    return 0


def never_ends(world: Path, step: str, folder: Path) -> int:
    """Never ends, unless it is not killed."""
    if (folder / "moments").exists() and not (folder / "logs").exists():
        (folder / "logs").mkdir()
        time.sleep(600)
    return 0


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (whole, None),
        (half, "run/result is different"),
        (litters, r"run/.part-\d+ was left behind"),
        (fails, "exit code 1"),
        (never_ends, None),
    ],
)
def test_planted(do: Do, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kill, "_do", do)
    kill._undisturbed.cache_clear()
    folder = tmp_path / "folder"
    folder.mkdir()
    kill._begin(tmp_path, "prepare", folder)
    (folder / "moments").write_text("1" if do is never_ends else "600")
    if said is None:
        kill._survive(tmp_path, "prepare", folder)
    else:
        with pytest.raises(Different, match=said):
            kill._survive(tmp_path, "prepare", folder)
    kill._undisturbed.cache_clear()

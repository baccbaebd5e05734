"""A command that leaves something half done when it is killed is found out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.fuzz import kill
from benchmarks.fuzz.target import Different

Do = Callable[[Path, str, Path], int]


def whole(world: Path, step: str, folder: Path) -> int:
    """Appears complete or not at all."""
    time.sleep(0.1)
    part = folder / "run" / "part"
    part.write_text("done")
    part.rename(folder / "run" / "result")
    return 0


def half(world: Path, step: str, folder: Path) -> int:
    """Takes what another one began for its own result."""
    result = folder / "run" / "result"
    if not result.exists():
        result.write_text("do")
        time.sleep(0.2)
        result.write_text("done")
    return 0


def litters(world: Path, step: str, folder: Path) -> int:
    (folder / "run" / f".part-{time.monotonic_ns()}").touch()
    time.sleep(0.2)
    for part in sorted((folder / "run").glob(".part-*"))[-1:]:
        part.unlink()
    return whole(world, step, folder)


def fails(world: Path, step: str, folder: Path) -> int:
    if (folder / "run" / "begun").exists():
        return 1
    (folder / "run" / "begun").touch()
    time.sleep(0.2)
    return 0


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (whole, None),
        (half, "run/result is another"),
        (litters, r"run/.part-\d+ was left behind"),
        (fails, "exit code 1"),
    ],
)
def test_planted(do: Do, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kill, "_do", do)
    kill._undisturbed.cache_clear()
    folder = tmp_path / "folder"
    folder.mkdir()
    kill._begin(tmp_path, "prepare", folder)
    (folder / "moments").write_text("0.15" if do is not whole else "0.05")
    if said is None:
        kill._survive(tmp_path, "prepare", folder)
    else:
        with pytest.raises(Different, match=said):
            kill._survive(tmp_path, "prepare", folder)
    kill._undisturbed.cache_clear()

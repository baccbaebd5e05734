"""Find and remove leftovers of killed processes, recognised by name and by a free lock.

The operating system releases a lock when the process that took it ends. On a file system without
locks, nothing is removed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

Kind = Literal["new", "old"]
TEMPORARY = ".metaselector-"
"""Prefix of temporary names."""
_RANDOM = re.compile(r"[0-9a-f]{8}")
_FILE = re.compile(re.escape(TEMPORARY) + r"[0-9a-f]{8}(\..*)?", re.DOTALL)
_NAME_BYTES = 100  # file systems allow 255


def beside(path: Path, kind: Kind) -> Path:
    """An unused name beside `path`, for its new or old version."""
    return path.parent / f"{_prefix(path, kind)}{secrets.token_hex(4)}"


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Create a directory :func:`beside` `path` and hold its lock."""
    while True:
        directory = beside(path, "new")
        directory.mkdir()
        with held(directory) as is_mine:
            # Another process may have removed it as a leftover just now.
            if is_mine is not False and directory.exists():
                yield directory
                return


@contextmanager
def held(path: Path) -> Iterator[bool | None]:
    """Hold the lock of a file or directory; yields False if it is taken, None without locks."""
    try:
        import fcntl  # not available on Windows

        handle = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        yield None
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked: bool | None = True
        except BlockingIOError:
            locked = False
        except OSError:
            locked = None
        yield locked
    finally:
        os.close(handle)


def recover(path: Path) -> None:
    """Remove leftovers beside the directory `path`; restore its old version if it is missing.

    It is missing if a process was killed after moving the old version away and before moving the
    new one into place.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    for kind in ("old", "new"):
        for left in _left(path, kind):
            with held(left) as is_free, suppress(OSError):  # read-only directories
                if is_free and kind == "old" and not os.path.lexists(path):
                    os.replace(left, path)
                elif is_free:
                    shutil.rmtree(left, ignore_errors=True)


def sweep_files(directory: Path) -> None:
    """Remove leftover files anywhere in a directory, except those being written now."""
    for left in directory.rglob(f"{TEMPORARY}*"):
        if _FILE.fullmatch(left.name) and left.is_file() and not left.is_symlink():
            with held(left) as is_free, suppress(OSError):
                if is_free:
                    left.unlink()


def _prefix(path: Path, kind: Kind) -> str:
    name = os.fsencode(path.name)[:_NAME_BYTES].decode(errors="ignore")
    return f"{TEMPORARY}{kind}-{name}-"


def _left(path: Path, kind: Kind) -> list[Path]:
    prefix = _prefix(path, kind)
    try:
        entries = [entry for entry in os.scandir(path.parent) if entry.name.startswith(prefix)]
    except OSError:
        return []
    return sorted(
        Path(entry.path)
        for entry in entries
        if _RANDOM.fullmatch(entry.name[len(prefix) :]) and entry.is_dir(follow_symlinks=False)
    )

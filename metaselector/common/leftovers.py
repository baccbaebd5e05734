"""What processes that were killed have left: known by its name, and by a lock that nobody holds.

The operating system holds a lock for the process that took it, and gives it up with the process.
Where a file system knows no locks, nothing is removed.
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
"""How names of what is being written begin."""
_RANDOM = re.compile(r"[0-9a-f]{8}")
_FILE = re.compile(re.escape(TEMPORARY) + r"[0-9a-f]{8}(\..*)?", re.DOTALL)
_NAME_BYTES = 100  # a name may have 255


def beside(path: Path, kind: Kind) -> Path:
    """A name for what will become `path`, or was it; nothing has it yet."""
    return path.parent / f"{_prefix(path, kind)}{secrets.token_hex(4)}"


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Make a directory :func:`beside` `path`, and hold it."""
    while True:
        made = beside(path, "new")
        made.mkdir()
        with held(made) as is_mine:
            # Another process may just have taken it for a leftover.
            if is_mine is not False and made.exists():
                yield made
                return


@contextmanager
def held(path: Path) -> Iterator[bool | None]:
    """Hold the lock of a file or a directory; False where somebody else does, None if none can."""
    try:
        import fcntl  # there is none on Windows

        handle = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        yield None
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found: bool | None = True
        except BlockingIOError:
            found = False
        except OSError:
            found = None
        yield found
    finally:
        os.close(handle)


def recover(path: Path) -> None:
    """Remove what was left beside the directory `path`; if that is missing, bring back the old one.

    A process that is killed between moving the old one away and putting the new one in its place
    leaves neither.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    for kind in ("old", "new"):
        for left in _left(path, kind):
            with held(left) as is_free, suppress(OSError):  # where only reading is allowed
                if is_free and kind == "old" and not os.path.lexists(path):
                    os.replace(left, path)
                elif is_free:
                    shutil.rmtree(left, ignore_errors=True)


def sweep_files(directory: Path) -> None:
    """Remove what was left of files anywhere in a directory, but what is being written now."""
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

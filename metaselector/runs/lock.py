"""A lock, so that only one process at a time writes to a run's directory."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from metaselector.common.errors import UserError
from metaselector.common.leftovers import sweep_files

LOCK, HOLDER = ".lock", ".lock-holder"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a run's directory, creating it if needed, and remove leftover temporary files in it.

    The operating system releases the lock when the process ends, even if it is killed.

    Raises:
        UserError: another process holds the lock (named), or the directory is not writable.
    """
    try:
        directory = Path(os.path.realpath(directory)) if directory.is_symlink() else directory
        made = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / LOCK)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"{directory}: {_holder(directory)} is writing this run; wait for it, or choose "
            "another --run directory"
        ) from error
    except OSError as error:
        raise UserError(f"{directory}: cannot be written ({error.strerror or error})") from error
    try:
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        (directory / HOLDER).write_text(
            f"process {os.getpid()} on {socket.gethostname()} ({command}, since {since})\n",
            encoding="utf-8",
        )
        sweep_files(directory)
        yield
    finally:
        for name in (HOLDER, LOCK):
            (directory / name).unlink(missing_ok=True)
        lock.release()
        if made:
            with suppress(OSError):  # not empty: something was written
                directory.rmdir()


def _holder(directory: Path) -> str:
    try:
        return (directory / HOLDER).read_text(encoding="utf-8").strip()
    except OSError:  # that process is just starting or ending
        return "another process"

"""One process at a time writes a run's directory."""

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
    """Hold the lock of a run's directory, which is made if need be, and tidy up in it.

    The operating system holds it for the process: one that is killed leaves it open.

    Raises:
        UserError: another process has it; says which.
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
            with suppress(OSError):  # something was written
                directory.rmdir()


def _holder(directory: Path) -> str:
    try:
        return (directory / HOLDER).read_text(encoding="utf-8").strip()
    except OSError:  # it has just begun, or is about to end
        return "another process"

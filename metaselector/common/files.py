"""Files and directories that appear complete or not at all."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from metaselector.common.errors import UserError
from metaselector.common.leftovers import TEMPORARY, beside, held, new_directory, recover


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it holds none, or lists within lists within lists; or a non-finite number,
            which JSON has not.
        OSError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_nonfinite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _nonfinite(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@contextmanager
def _as_user_error(path: Path) -> Iterator[None]:
    """A full disk or a forbidden directory is the user's to mend, not a crash."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); nothing was left "
            "half-written, free some space or choose another place"
        ) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` on success and is removed on failure.

    Of a link, what it leads to is written; a device or a pipe is written as it is.
    """
    with _as_user_error(path):
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept because writers (matplotlib, Parquet) choose a format by it.
        temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(4)}{path.suffix}"
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        mode = stat.S_IMODE(temporary.stat().st_mode)  # as the umask has it
        with held(temporary):  # so that nobody takes it for a leftover
            try:
                yield temporary
                temporary.chmod(mode)  # some writers replace the file, mode and all
                _flush(temporary)  # or a power cut could leave the new name on old contents
                os.replace(temporary, path)
                _flush(path.parent)
            finally:
                temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until the disk has a file's contents, or a directory's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Like :func:`atomic_file` for a directory; an existing one is replaced as a whole.

    What a process that was killed left is removed first. On failure the directories above that were
    made for it are removed too, where they are empty.
    """
    above: list[Path] = []
    with _as_user_error(path):
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        above += [parent for parent in path.parents if not parent.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        recover(path)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "there is a file of this name")
        with new_directory(path) as temporary:
            try:
                yield temporary
                _put(temporary, path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
                if not path.exists():
                    for parent in above:
                        with suppress(OSError):  # somebody else has put something there
                            parent.rmdir()


def _put(temporary: Path, path: Path) -> None:
    """Put a directory in place of what may be there."""
    if not path.exists():
        os.replace(temporary, path)
        return
    with held(path):  # so that nobody recovers it meanwhile
        old = beside(path, "old")
        os.replace(path, old)
        try:
            os.replace(temporary, path)
        except OSError:
            os.replace(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)


def check_space(directory: Path, size: int, purpose: str) -> None:
    """Raise a UserError unless `size` bytes are free where the existing `directory` is.

    Args:
        purpose: what they are for, to go on after "for".
    """
    free = shutil.disk_usage(directory).free
    if free < size:
        raise UserError(
            f"{directory}: {about(size)} are needed for {purpose}, {about(free)} are free; free "
            "some space or choose another place"
        )


def about(size: int) -> str:
    """A number of bytes for people, such as ``about 5.6 MiB``."""
    amount, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"about {amount:.{0 if unit == 'bytes' else 1}f} {unit}"


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

"""Atomic writes: files and directories appear complete or not at all."""

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
    """Read a JSON file.

    Raises:
        ValueError: the file is not valid JSON, is nested too deeply, or holds a non-finite number,
            which JSON does not allow.
        OSError: the file cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_nonfinite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _nonfinite(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@contextmanager
def _as_user_error(path: Path) -> Iterator[None]:
    """Turn an OSError, such as a full disk or a missing permission, into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); no partial file was left; "
            "free some space or choose another place"
        ) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` on success and is removed on failure.

    For a symbolic link, its target is written; a device or a pipe is written directly.
    """
    with _as_user_error(path):
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # Keep the suffix: some writers (matplotlib, Parquet) choose the format by it.
        temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(4)}{path.suffix}"
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        mode = stat.S_IMODE(temporary.stat().st_mode)  # set by the umask
        with held(temporary):  # so that no process removes it as a leftover
            try:
                yield temporary
                temporary.chmod(mode)  # some writers replace the file and its mode
                _flush(temporary)  # a power cut could leave the new name with old contents
                os.replace(temporary, path)
                _flush(path.parent)
            finally:
                temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Flush a file's contents, or a directory's entries, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Like :func:`atomic_file` for a directory; an existing one is replaced as a whole.

    Leftovers of killed processes are removed first. On failure, parent directories created for it
    are removed too, if they are empty.
    """
    above: list[Path] = []
    with _as_user_error(path):
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        above += [parent for parent in path.parents if not parent.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        recover(path)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file has this name")
        with new_directory(path) as temporary:
            try:
                yield temporary
                _put(temporary, path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
                if not path.exists():
                    for parent in above:
                        with suppress(OSError):  # not empty any more
                            parent.rmdir()


def _put(temporary: Path, path: Path) -> None:
    """Move a directory into place, replacing an existing one."""
    if not path.exists():
        os.replace(temporary, path)
        return
    with held(path):  # so that no process recovers it meanwhile
        old = beside(path, "old")
        os.replace(path, old)
        try:
            os.replace(temporary, path)
        except OSError:
            os.replace(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)


def check_space(directory: Path, size: int, purpose: str) -> None:
    """Raise a UserError unless `size` bytes are free on the disk of the existing `directory`.

    Args:
        purpose: what they are needed for; completes "needed for".
    """
    free = shutil.disk_usage(directory).free
    if free < size:
        raise UserError(
            f"{directory}: {about(size)} needed for {purpose}, but only {about(free)} free; free "
            "some space or choose another place"
        )


def about(size: int) -> str:
    """A readable number of bytes, such as ``about 5.6 MiB``."""
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

"""Unpack zip files from untrusted sources."""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath, PureWindowsPath

from metaselector.common.errors import DataError
from metaselector.common.files import check_space

MAX_BYTES = 2 * 1024**3
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Other methods may take gigabytes of memory, and no official file needs them."""
_DAMAGES = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error
)  # fmt: skip


def unpack(
    archive: Path,
    directory: Path,
    *,
    only: Collection[str] | None = None,
    flat: bool = False,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Unpack `archive` into an existing `directory`.

    Args:
        archive: the zip file.
        directory: the target directory.
        only: the members to unpack; None unpacks all.
        flat: drop the members' folders.
        max_bytes: maximum total size of the unpacked members.

    Raises:
        DataError: the file is not a zip file, damaged, encrypted, or neither stored nor deflated; a
            member of `only` is missing; a member is a link or would be written outside
            `directory`; or the members are too large together.
        UserError: the disk has too little space.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [entry for entry in file.infolist() if only is None or entry.filename in only]
            size = _check(archive, members, only or (), max_bytes)
            check_space(directory, size, f"unpacking {archive.name}")
            for entry in members:
                if not entry.is_dir():
                    name = PurePosixPath(entry.filename)
                    target = directory / (name.name if flat else name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    # A member yields at most its declared size, so the checked sum holds.
                    with file.open(entry) as source, target.open("wb") as sink:
                        shutil.copyfileobj(source, sink)
    except FileNotFoundError as error:
        raise DataError(archive, "file not found") from error
    except _DAMAGES as error:
        problem = f"not a zip file, or damaged ({error}); use the official zip file"
        raise DataError(archive, problem) from error
    except OSError as error:
        problem = f"cannot be unpacked into {directory} ({error.strerror or error})"
        raise DataError(archive, problem) from error


def _check(
    archive: Path, members: list[zipfile.ZipInfo], only: Collection[str], max_bytes: int
) -> int:
    """Check the members, and return their total size in bytes; raises as :func:`unpack`."""
    missing = sorted(set(only) - {entry.filename for entry in members})
    if missing:
        raise DataError(archive, f"has no member '{missing[0]}'; it is not the expected file")
    for entry in members:
        name = entry.filename
        if not name:
            raise DataError(archive, "a member has no name; use the official file")
        if entry.flag_bits & _ENCRYPTED:
            raise DataError(archive, f"member '{name}' is encrypted; use the official file")
        if entry.compress_type not in _METHODS:
            problem = f"member '{name}' has an unusual compression; use the official file"
            raise DataError(archive, problem)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError(archive, f"member '{name}' is a link; use the official file")
        # Check Windows paths too: they could leave the directory there, and are never official.
        outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
        if outside or ".." in PureWindowsPath(name).parts:
            problem = f"member '{name}' would be written outside the folder; use the official file"
            raise DataError(archive, problem)
    total = sum(entry.file_size for entry in members)
    if total > max_bytes:
        problem = f"unpacks to {total:,} bytes, more than {max_bytes:,}; use the official file"
        raise DataError(archive, problem)
    return total

"""SHA-256 of every file of a prepared directory, verified when it is opened.

``sha256.json`` lists them, with the digest of the list itself under ``all``. Array headers, which
contain only type and shape, are excluded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from metaselector.common.errors import DataError
from metaselector.data.encoded.array_file import open_array

FILE = "sha256.json"
MEND = "copy the whole directory again, or run `metaselector data prepare` again"
_THREADS = 2  # hashing releases the interpreter lock
_checked: set[tuple[int, int, int, int, str]] = set()
"""Device, inode, size, time and digest of files that this process has verified."""


def write_digests(directory: Path, digests: Mapping[str, str]) -> None:
    """Write the list of digests, by file name."""
    found = {"files": dict(sorted(digests.items())), "all": _of_all(digests)}
    (directory / FILE).write_text(json.dumps(found, indent=1), encoding="utf-8")


def add_digests(directory: Path, names: Iterable[str]) -> None:
    """Hash files of a directory and add them to its list, which is created if missing."""
    listed = read_digests(directory) if (directory / FILE).exists() else {}
    write_digests(directory, listed | {name: _digest(directory / name) for name in names})


def read_digests(directory: Path) -> dict[str, str]:
    """Read the list of digests, by file name.

    Raises:
        DataError: it is missing or damaged.
    """
    path = directory / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, str):
            raise DataError(path, f"the data were prepared by an earlier version; {MEND}")
        digests = {str(name): str(digest) for name, digest in found["files"].items()}
        whole = found["all"] == _of_all(digests)
    except FileNotFoundError as error:
        problem = "missing: the data are incomplete, or were prepared by an earlier version"
        raise DataError(path, f"{problem}; {MEND}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(path, f"damaged ({' '.join(str(error).split())}); {MEND}") from error
    if not whole:
        raise DataError(path, f"damaged: changed after it was written; {MEND}")
    return digests


def check_digests(directory: Path, names: Collection[str]) -> tuple[dict[str, str], bool]:
    """Verify files of a directory, once per process unless they change.

    Returns:
        The whole list, and whether any file had to be read.

    Raises:
        DataError: a file is missing, not listed, or was changed.
    """
    listed = read_digests(directory)
    new = []
    for name in names:
        if name not in listed:
            raise DataError(directory / name, f"not listed in {FILE}; {MEND}")
        key = _key(directory / name, listed[name])
        if key not in _checked:
            new.append((name, key))
    new.sort(key=lambda one: -one[1][2])  # largest first, so that threads finish together
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda one: _digest(directory / one[0]), new)
        for (name, key), digest in zip(new, found, strict=True):
            if digest != listed[name]:
                problem = (
                    f"damaged: its SHA-256 is {digest[:12]}…, but {listed[name][:12]}… is listed"
                )
                raise DataError(directory / name, f"{problem}; {MEND}")
            _checked.add(key)
    return listed, bool(new)


def _key(path: Path, digest: str) -> tuple[int, int, int, int, str]:
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise DataError(path, f"missing; {MEND}") from error
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror}); {MEND}") from error
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, digest


def _digest(path: Path) -> str:
    header = open_array(path)[1] if path.suffix == ".npy" else 0
    try:
        with path.open("rb") as file:
            file.seek(header)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror}); {MEND}") from error


def _of_all(digests: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()

"""One file over HTTP: resumed where it broke off, and complete only when its checksum says so.

Of a gzip file whose owner publishes no checksum, the checksums inside it must do.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metaselector.common.streams import console
from metaselector.common.text import printable
from metaselector.errors import UserError

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and the bytes expected (None where the server does not say)."""

Begin = Callable[[int, int | None], None]
"""Called once, when the server has answered and before a byte is kept, with the same numbers."""

_CHUNK = 1 << 16
_UNZIPPED = 1 << 20
_ATTEMPTS = 5
_RANGE_NOT_SATISFIABLE = 416


class FetchError(UserError):
    """One source of a data set cannot deliver; another one may."""


def digest(path: Path, algorithm: str) -> str:
    """Hexadecimal checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def flaw(path: Path, md5: str | None) -> str:
    """What is wrong with a file, empty where nothing is.

    Args:
        path: the file.
        md5: its published checksum; None for a gzip file without one, which must unzip to its end.
    """
    if md5 is not None:
        found = digest(path, "md5")
        return "" if found == md5 else f"has md5 {found}, expected {md5}"
    if not path.stat().st_size:
        return "is empty"
    try:
        with gzip.open(path, "rb") as file:
            while file.read(_UNZIPPED):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"is no whole gzip file ({error})"
    return ""


def download(
    url: str,
    part: Path,
    md5: str | None,
    *,
    timeout: float = 15.0,
    progress: Progress | None = None,
    begin: Begin | None = None,
) -> None:
    """Bring `part` to be the whole, verified file.

    What `part` already holds is kept and the rest asked for; after a failure it stays, for the next
    call to go on from. A file with the wrong checksum is removed, and if part of it came from an
    earlier call, fetched once more from the start.

    Args:
        url: http or https.
        part: the file; its directory exists.
        md5: the checksum its owner publishes, or None as in :func:`flaw`.
        timeout: seconds to wait for the server, to connect as well as for each piece.
        progress: told how far it is.
        begin: told how much there is to bring; what it raises ends the download.

    Raises:
        FetchError: the server cannot be reached or breaks off, or the checksum is wrong.
    """
    resumed = _size(part) > 0
    if resumed and not flaw(part, md5):
        return
    _transfer_all(url, part, timeout, progress, begin)
    problem = flaw(part, md5)
    if not problem:
        return
    part.unlink()
    if not resumed:
        raise FetchError(f"{url} {problem}")
    download(url, part, md5, timeout=timeout, progress=progress, begin=begin)


def _transfer_all(
    url: str, part: Path, timeout: float, progress: Progress | None, begin: Begin | None
) -> None:
    """Transfer until nothing is missing, trying again as long as each attempt brings something."""

    def begin_once(done: int, expected: int | None) -> None:
        nonlocal begin
        told, begin = begin, None
        if told is not None:
            told(done, expected)

    for attempt in range(1, _ATTEMPTS + 1):
        before = _size(part)
        try:
            _transfer(url, part, timeout, progress, begin_once)
            return
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code == _RANGE_NOT_SATISFIABLE and before:
                    part.unlink()  # it is no beginning of this file
                    continue
            if attempt == _ATTEMPTS or _size(part) <= before:
                raise FetchError(f"{url} cannot be downloaded ({error})") from error
    raise FetchError(f"{url} cannot be downloaded (the server refuses every range)")


def _transfer(
    url: str, part: Path, timeout: float, progress: Progress | None, begin: Begin
) -> None:
    start = _size(part)
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=timeout) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0  # the server sends the whole file
        length = response.headers.get("Content-Length")
        expected = None if length is None else start + int(length)
        begin(start, expected)
        done = start
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, expected)
    if expected is not None and done < expected:
        raise ConnectionError(f"broke off after {done:,} of {expected:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def progress_bar(description: str) -> Iterator[Progress]:
    """A progress bar on standard error."""
    from rich.markup import escape
    from rich.progress import Progress as Bar  # slow to import, and seldom needed

    with Bar(console=console(err=True), transient=True) as bar:
        task = bar.add_task(escape(printable(description)), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

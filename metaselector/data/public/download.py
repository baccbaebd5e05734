"""Download one file over HTTP, resume interrupted downloads, and verify checksums.

A gzip file without a published checksum is verified by the checksums inside it.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import math
import os
import threading
import time
import urllib.error
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metaselector.common.errors import ConfigError, UserError
from metaselector.common.files import about
from metaselector.common.streams import console
from metaselector.common.text import printable
from metaselector.data.public.answer import OddAnswer, OtherRange, open_url, promised

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and the expected size (None if the server does not state it)."""

Begin = Callable[[int, int | None], None]
"""Called once with the same numbers, after the response and before any byte is stored."""

_SHA256_DIGITS = 64
_CHUNK = 1 << 16
_UNZIPPED = 1 << 20
_ATTEMPTS = 5
_RANGE_NOT_SATISFIABLE = 416
MAX_BYTES = 2**36
"""Maximum size of a file of unknown size: more than any data set has."""
VARIABLE = "METASELECTOR_FETCH_SECONDS"
SECONDS = 3600.0
"""Default time limit for one file."""


class FetchError(UserError):
    """A source of a data set fails; another one may work."""


def digest(path: Path, algorithm: str) -> str:
    """Hexadecimal checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def flaw(path: Path, checksum: str | None) -> str:
    """Describe what is wrong with a file; empty if nothing is.

    Args:
        path: the file.
        checksum: its MD5 or SHA-256; None for a gzip file, which must decompress completely.
    """
    if checksum is not None:
        algorithm = "sha256" if len(checksum) == _SHA256_DIGITS else "md5"
        found = digest(path, algorithm)
        return "" if found == checksum else f"has {algorithm} {found}, expected {checksum}"
    if not path.stat().st_size:
        return "is empty"
    try:
        with gzip.open(path, "rb") as file:
            while file.read(_UNZIPPED):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"is not a complete gzip file ({error})"
    return ""


def download(
    url: str,
    part: Path,
    checksum: str | None,
    *,
    timeout: float = 15.0,
    most: int = MAX_BYTES,
    progress: Progress | None = None,
    begin: Begin | None = None,
) -> None:
    """Download and verify `part`, resuming from what it already contains.

    After a failure `part` remains, and the next call resumes from it. A file with a wrong checksum
    is removed and, if part of it came from an earlier call, downloaded once more from the start.

    Args:
        url: http or https, as are its redirects; never from https to http.
        part: the file; its directory exists.
        checksum: the published MD5 or SHA-256, or None as in :func:`flaw`.
        timeout: seconds to wait for the server to connect, and for each piece. The whole download
            may take :data:`SECONDS`, or the seconds in the environment variable :data:`VARIABLE`.
        most: maximum size in bytes.
        progress: called after each piece.
        begin: called before the first piece; an error that it raises ends the download.

    Raises:
        FetchError: the server cannot be reached, disconnects, is too slow, sends too much or
            something else than requested, or the checksum is wrong.
    """
    _download(url, part, checksum, _Limits(timeout, most), progress, begin)


class _Limits:
    """Limits on time and size of a download."""

    def __init__(self, timeout: float, most: int) -> None:
        self.timeout, self.most = timeout, most
        self.seconds = _seconds()
        self._end = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Seconds left."""
        return self._end - time.monotonic()


def _seconds() -> float:
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text) if text else SECONDS
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise ConfigError(f"{VARIABLE}={text[:80]!r} is not a number of seconds; correct it")
    return seconds


def _download(
    url: str,
    part: Path,
    checksum: str | None,
    limits: _Limits,
    progress: Progress | None,
    begin: Begin | None,
) -> None:
    resumed = _size(part) > 0
    if resumed and not flaw(part, checksum):
        return
    _transfer_all(url, part, limits, progress, begin)
    problem = flaw(part, checksum)
    if not problem:
        return
    part.unlink()
    if not resumed:
        raise FetchError(f"{url} {problem}")
    _download(url, part, checksum, limits, progress, begin)


def _transfer_all(
    url: str, part: Path, limits: _Limits, progress: Progress | None, begin: Begin | None
) -> None:
    """Transfer until complete; retry as long as each attempt makes progress."""

    def begin_once(done: int, expected: int | None) -> None:
        nonlocal begin
        told, begin = begin, None
        if told is not None:
            told(done, expected)

    for attempt in range(1, _ATTEMPTS + 1):
        before = _size(part)
        try:
            _within(limits, lambda stop: _transfer(url, part, limits, progress, begin_once, stop))
            return
        except OtherRange:
            part.unlink(missing_ok=True)  # start again
        except (OSError, http.client.HTTPException, ValueError, OddAnswer) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code == _RANGE_NOT_SATISFIABLE and before:
                    part.unlink()  # it is not the start of this file
                    continue
            gives_up = isinstance(error, OddAnswer) or limits.left <= 0
            if gives_up or attempt == _ATTEMPTS or _size(part) <= before:
                reason = "".join(c if c.isprintable() else " " for c in str(error))[:200]
                raise FetchError(f"{url} cannot be downloaded ({reason})") from error
    raise FetchError(f"{url} cannot be downloaded (the server refuses every range)")


def _within(limits: _Limits, work: Callable[[threading.Event], None]) -> None:
    """Work in a thread, so that a slow server cannot exceed the time limit.

    Args:
        limits: the time limit.
        work: called with an event that tells it to stop.
    """
    stop, failed = threading.Event(), []

    def run() -> None:
        try:
            work(stop)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
        thread.join(max(limits.left, 0))
        if thread.is_alive():
            raise TimeoutError(
                f"not complete after {limits.seconds:g} s; run again to resume, or allow more with "
                f"the environment variable {VARIABLE}"
            )
    finally:
        stop.set()  # Ctrl-C too
    if failed:
        raise failed[0]


def _transfer(
    url: str,
    part: Path,
    limits: _Limits,
    progress: Progress | None,
    begin: Begin,
    stop: threading.Event,
) -> None:
    asked = _size(part)
    with open_url(url, asked, limits.timeout) as response:
        start, expected = promised(response, url, asked)
        if stop.is_set():
            return
        if expected is not None and expected > limits.most:
            raise _too_much(limits)
        begin(start, expected)
        done = start
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            # `read` would wait for a whole chunk.
            while (chunk := response.read1(_CHUNK)) and not stop.is_set():
                done += len(chunk)
                if done > limits.most:
                    raise _too_much(limits)
                file.write(chunk)
                if progress is not None:
                    progress(done, expected)
    if expected is not None and done < expected:
        raise ConnectionError(f"disconnected after {done:,} of {expected:,} bytes")


def _too_much(limits: _Limits) -> OddAnswer:
    return OddAnswer(f"the server sends more than the limit of {about(limits.most)}")


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

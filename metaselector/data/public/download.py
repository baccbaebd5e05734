"""One file over HTTP: resumed where it broke off, and complete only when its checksum says so.

Of a gzip file whose owner publishes no checksum, the checksums inside it must do.
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
"""Called with the bytes so far and the bytes expected (None where the server does not say)."""

Begin = Callable[[int, int | None], None]
"""Called once, when the server has answered and before a byte is kept, with the same numbers."""

_CHUNK = 1 << 16
_UNZIPPED = 1 << 20
_ATTEMPTS = 5
_RANGE_NOT_SATISFIABLE = 416
MAX_BYTES = 2**36
"""Of a file whose size is not known: more than any of the data sets has."""
VARIABLE = "METASELECTOR_FETCH_SECONDS"
SECONDS = 3600.0
"""For one file in all, by default."""


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
    most: int = MAX_BYTES,
    progress: Progress | None = None,
    begin: Begin | None = None,
) -> None:
    """Bring `part` to be the whole, verified file.

    What `part` already holds is kept and the rest asked for; after a failure it stays, for the next
    call to go on from. A file with the wrong checksum is removed, and if part of it came from an
    earlier call, fetched once more from the start.

    Args:
        url: http or https, and so is whatever it redirects to; never from https to http.
        part: the file; its directory exists.
        md5: the checksum its owner publishes, or None as in :func:`flaw`.
        timeout: seconds to wait for the server, to connect as well as for each piece. All of it
            together may take :data:`SECONDS`, or what the environment variable :data:`VARIABLE`
            says.
        most: bytes that the file may have.
        progress: told how far it is.
        begin: told how much there is to bring; what it raises ends the download.

    Raises:
        FetchError: the server cannot be reached, breaks off, takes too long, sends too much or
            what was not asked for, or the checksum is wrong.
    """
    _download(url, part, md5, _Limits(timeout, most), progress, begin)


class _Limits:
    """What a server may take."""

    def __init__(self, timeout: float, most: int) -> None:
        self.timeout, self.most = timeout, most
        self.seconds = _seconds()
        self._end = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Seconds."""
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
    md5: str | None,
    limits: _Limits,
    progress: Progress | None,
    begin: Begin | None,
) -> None:
    resumed = _size(part) > 0
    if resumed and not flaw(part, md5):
        return
    _transfer_all(url, part, limits, progress, begin)
    problem = flaw(part, md5)
    if not problem:
        return
    part.unlink()
    if not resumed:
        raise FetchError(f"{url} {problem}")
    _download(url, part, md5, limits, progress, begin)


def _transfer_all(
    url: str, part: Path, limits: _Limits, progress: Progress | None, begin: Begin | None
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
            _within(limits, lambda stop: _transfer(url, part, limits, progress, begin_once, stop))
            return
        except OtherRange:
            part.unlink(missing_ok=True)  # begin anew
        except (OSError, http.client.HTTPException, ValueError, OddAnswer) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code == _RANGE_NOT_SATISFIABLE and before:
                    part.unlink()  # it is no beginning of this file
                    continue
            gives_up = isinstance(error, OddAnswer) or limits.left <= 0
            if gives_up or attempt == _ATTEMPTS or _size(part) <= before:
                reason = "".join(c if c.isprintable() else " " for c in str(error))[:200]
                raise FetchError(f"{url} cannot be downloaded ({reason})") from error
    raise FetchError(f"{url} cannot be downloaded (the server refuses every range)")


def _within(limits: _Limits, work: Callable[[threading.Event], None]) -> None:
    """Work in a thread, so that a server which trickles cannot keep it past the end.

    Args:
        work: given an event that tells it to stop.
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
                f"not complete after {limits.seconds:g} s; run again to go on, or allow more with "
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
            # Not `read`, which would wait for a whole chunk.
            while (chunk := response.read1(_CHUNK)) and not stop.is_set():
                done += len(chunk)
                if done > limits.most:
                    raise _too_much(limits)
                file.write(chunk)
                if progress is not None:
                    progress(done, expected)
    if expected is not None and done < expected:
        raise ConnectionError(f"broke off after {done:,} of {expected:,} bytes")


def _too_much(limits: _Limits) -> OddAnswer:
    return OddAnswer(f"the server sends more than {about(limits.most)}, which is too much")


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

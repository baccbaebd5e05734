"""Robust standard output and error: on full disks, closed pipes and ASCII terminals."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from metaselector.common.errors import UserError
from metaselector.common.text import LONGEST_LINE, printable, shortened

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def sturdy_streams() -> Iterator[Streams]:
    """Replace standard output and error by streams that never raise and only carry plain text.

    Characters that the encoding lacks are escaped, and so are control characters, unless rich
    writes them. If writing fails, further output is dropped, so that results still reach files.
    """
    _open_closed()
    before = sys.stdout, sys.stderr
    streams = Streams(_Sturdy(before[0]), _Sturdy(before[1]))
    plain: Any = _Plain(streams.out), _Plain(streams.err)
    sys.stdout, sys.stderr = plain
    try:
        yield streams
    finally:
        sys.stdout, sys.stderr = before


def tell(text: str) -> None:
    """Print one line of limited length on standard error, with control characters escaped."""
    print(printable(shortened(text, 2 * LONGEST_LINE)), file=sys.stderr)


def say(text: object) -> None:
    """Print one or more lines on standard output, with control characters escaped."""
    print(printable(str(text), keep="\n"))


def put_out(text: str) -> None:
    """Write a file's contents to standard output, unchanged and as UTF-8.

    On a terminal, control characters are escaped.

    Raises:
        UserError: standard output is closed.
    """
    out = sys.stdout
    if not isinstance(out, _Plain):
        out.write(text)
    elif out.sturdy.closed:
        raise UserError("standard output is closed; write to a file instead")
    elif out.sturdy.isatty():
        out.write(text)
    else:
        out.sturdy.write_bytes(text.encode("utf-8", "backslashreplace"))


def console(*, err: bool = False) -> Console:
    """A rich console for tables and progress bars; callers make names printable."""
    from rich.console import Console  # slow to import

    stream = sys.stderr if err else sys.stdout
    return Console(file=stream.sturdy if isinstance(stream, _Plain) else stream)  # type: ignore[arg-type]


def _open_closed() -> None:
    """Occupy the file descriptors of closed streams, so that no file opened later gets them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor


class _Nowhere(io.TextIOBase):
    """Stands in for a closed stream."""

    def write(self, text: str) -> int:
        return len(text)


class _Sturdy:
    """Behaves like `stream`, but does not raise when writing fails.

    Attributes:
        problem: why writing failed, or None.
        closed: whether the stream is closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.problem: str | None = None
        self.closed = stream is None
        self._stream: Any
        self._stream = _Nowhere() if stream is None else stream
        with suppress(AttributeError, ValueError):  # not a stream with an encoding
            self._stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._noted():
            self._stream.write(text)
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Flush earlier text, then write `data`."""
        with self._noted():
            self._stream.flush()
            if hasattr(self._stream, "buffer"):
                self._stream.buffer.write(data)
            else:
                self._stream.write(data.decode())

    def flush(self) -> None:
        with self._noted():
            self._stream.flush()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.problem = self.problem or error.strerror or str(error)
            self._drop_the_rest()

    def _drop_the_rest(self) -> None:
        """Redirect to the null device; buffered output would fail again when Python exits."""
        with suppress(OSError, ValueError):
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, self._stream.fileno())
            os.close(sink)
            self._stream.flush()


class _Plain:
    """A stream that escapes control characters and reports that it is not a terminal."""

    def __init__(self, sturdy: _Sturdy) -> None:
        self.sturdy = self.rich_proxied_file = sturdy  # rich writes to the latter instead

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sturdy, name)

    def write(self, text: str) -> int:
        return self.sturdy.write(printable(text, keep="\n\t"))

    def isatty(self) -> bool:
        return False


class Streams(NamedTuple):
    """Streams installed by :func:`sturdy_streams`."""

    out: _Sturdy
    err: _Sturdy

    def finish(self) -> None:
        """Flush both streams.

        Raises:
            UserError: some output could not be written to standard output.
        """
        self.err.flush()
        self.out.flush()
        if self.out.problem is not None:
            raise UserError(
                f"standard output: cannot be written ({self.out.problem}); the command's output "
                "files are complete"
            )

"""Standard output and error, whatever they are: a full disk, a pipe nobody reads, closed, ASCII."""

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
    """Standard output and error that end no command while it works, and carry text only.

    Characters that their encoding lacks are escaped, and so is what a terminal would obey, unless
    rich writes it. Where writing fails, the rest is dropped, so that results still get into files.
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
    """Print a line on standard error; it has an end, and nothing in it can steer the terminal."""
    print(printable(shortened(text, 2 * LONGEST_LINE)), file=sys.stderr)


def say(text: object) -> None:
    """Print a line, or several, on standard output; nothing in it can steer the terminal."""
    print(printable(str(text), keep="\n"))


def put_out(text: str) -> None:
    """Write a file's contents to standard output.

    They are UTF-8 and as they are, but on a terminal, which shows what it would obey.

    Raises:
        UserError: standard output is closed.
    """
    out = sys.stdout
    if not isinstance(out, _Plain):
        out.write(text)
    elif out.sturdy.closed:
        raise UserError("standard output is closed; name a file to write instead")
    elif out.sturdy.isatty():
        out.write(text)
    else:
        out.sturdy.write_bytes(text.encode("utf-8", "backslashreplace"))


def console(*, err: bool = False) -> Console:
    """What prints tables and progress bars; whoever uses it makes names printable."""
    from rich.console import Console  # slow to import

    stream = sys.stderr if err else sys.stdout
    return Console(file=stream.sturdy if isinstance(stream, _Plain) else stream)  # type: ignore[arg-type]


def _open_closed() -> None:
    """Give the numbers of closed streams away; the next file to be opened would get them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


class _Nowhere(io.TextIOBase):
    """Stands for a stream that is closed."""

    def write(self, text: str) -> int:
        return len(text)


class _Sturdy:
    """Behaves like `stream`, but that nothing is raised where it cannot be written.

    Attributes:
        problem: why it could not.
        closed: there is no stream.
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
        """Write `data` after what was written before."""
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
        """What waits to be written would fail again, at the latest when Python ends."""
        with suppress(OSError, ValueError):
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, self._stream.fileno())
            os.close(sink)
            self._stream.flush()


class _Plain:
    """A stream that shows what a terminal would obey; it calls itself no terminal."""

    def __init__(self, sturdy: _Sturdy) -> None:
        self.sturdy = self.rich_proxied_file = sturdy  # the latter is what rich writes to instead

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sturdy, name)

    def write(self, text: str) -> int:
        return self.sturdy.write(printable(text, keep="\n\t"))

    def isatty(self) -> bool:
        return False


class Streams(NamedTuple):
    """What :func:`sturdy_streams` puts in place."""

    out: _Sturdy
    err: _Sturdy

    def finish(self) -> None:
        """Write what waits to be written.

        Raises:
            UserError: some of what went to standard output could not be written.
        """
        self.err.flush()
        self.out.flush()
        if self.out.problem is not None:
            raise UserError(
                f"standard output: cannot be written ({self.out.problem}); files that the command "
                "writes are complete"
            )

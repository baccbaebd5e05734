"""Read the lines of a text file, compressed or not, some megabytes at a time."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from metaselector.common.errors import DataError
from metaselector.data.raw.expansion import most_bytes, too_large

BLOCK_BYTES = 2**23
MAX_LINE_BYTES = 2**24
_TAIL_BYTES = 2**12
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC, _BZ2_MAGIC = b"\x28\xb5\x2f\xfd", (b"BZh", b"1AY&SY")
COMPRESSED = (".gz", ".zst", ".bz2")
"""Endings of compressed files; what counts is their content."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Whole lines of a file.

    Attributes:
        first_line: 1-based number of the first line.
        data: the lines with their line ends, without blank lines at the end of the file.
        last: whether the file ends here; its last line may have no line end.
    """

    first_line: int
    data: bytes
    last: bool = False

    def lines(self) -> list[bytes]:
        """The lines without their line ends."""
        return [line.removesuffix(b"\r") for line in self.data.removesuffix(b"\n").split(b"\n")]

    def after(self, line: int) -> Block:
        """The lines after number `line`, as a block, which may be empty."""
        cut = 0
        for _ in range(self.first_line, line + 1):
            cut = self.data.find(b"\n", cut) + 1
            if not cut:
                return self._replace(first_line=line + 1, data=b"")
        return self._replace(first_line=max(self.first_line, line + 1), data=self.data[cut:])

    def pieces(self, lines: int) -> Iterator[Block]:
        """Split into blocks of at most `lines` lines."""
        count = self.data.count(b"\n")
        if count <= lines:
            yield self
            return
        half = len(self.data) // 2
        cut = self.data.rfind(b"\n", 0, half) + 1 or self.data.find(b"\n", half) + 1
        first = self._replace(data=self.data[:cut], last=False)
        yield from first.pieces(lines)
        line = self.first_line + first.data.count(b"\n")
        yield from self._replace(first_line=line, data=self.data[cut:]).pieces(lines)


def read_blocks(path: Path, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read a file block by block, decompressing gzip, zstd and bzip2, whatever its name.

    Args:
        path: the file.
        size: bytes of text read at a time; memory stays within a few times this.

    Raises:
        DataError: the file is missing, unreadable or empty; its compressed data are truncated,
            damaged or expand beyond :func:`most_bytes`; or a line is longer than 16 MiB.
    """
    number, rest, zipped = 1, b"", ""
    try:
        file, zipped = _open(path)
        with file:
            total, most = 0, most_bytes(path)
            # Read a long line in growing pieces, to avoid copying it for each.
            while chunk := file.read(max(size, min(len(rest), BLOCK_BYTES))):
                total += len(chunk)
                if zipped and total > most:
                    raise too_large(path, most, number)
                rest += chunk if number > 1 or rest else chunk.removeprefix(BYTE_ORDER_MARK)
                # Keep the last line that is not blank until it is known to be complete.
                cut = rest.rfind(b"\n", 0, _text_end(rest)) + 1
                if cut:
                    yield Block(number, rest[:cut])
                    number += rest.count(b"\n", 0, cut)
                    rest = rest[cut:]
                if len(rest) > MAX_LINE_BYTES:
                    problem = "is longer than 16 MiB; put each record on a line of its own"
                    raise DataError(path, problem, line=number)
    except FileNotFoundError as error:
        raise DataError(path, "file not found") from error
    except EOFError as error:
        problem = f"the {zipped} file is truncated here; copy or fetch it again"
        raise DataError(path, problem, line=number + rest.count(b"\n")) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        problem = f"the gzip file is damaged ({error}); copy or fetch it again"
        raise DataError(path, problem, line=number + rest.count(b"\n")) from error
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror or error})") from error
    end = rest.find(b"\n", _text_end(rest)) + 1
    if not rest.isspace() and rest:
        yield Block(number, rest[:end] if end else rest, last=True)
    elif number == 1:
        raise DataError(path, "the file is empty; copy or fetch it again")


def _text_end(data: bytes) -> int:
    """Length of `data` without trailing white space, usually found without a copy."""
    tail = data[-_TAIL_BYTES:]
    return len(data) - len(tail) + len(tail.rstrip()) if tail.strip() else len(data.rstrip())


def decode(path: Path, line: int, raw: bytes) -> str:
    """Decode a line; raises :class:`DataError` if it is not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        problem = f"byte 0x{raw[error.start]:02x} at position {error.start + 1} is not utf-8 text"
        raise DataError(path, f"{problem}; save the file as utf-8", line=line) from error


def _open(path: Path) -> tuple[Any, str]:
    """A file to read bytes from, and what compressed it, or nothing."""
    with path.open("rb") as file:
        start = file.read(10)
    if start.startswith(_GZIP_MAGIC):
        return gzip.open(path, "rb"), "gzip"
    if start.startswith(_ZSTD_MAGIC):
        return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), "zstd"
    if (start[:3], start[4:]) == _BZ2_MAGIC:
        return bz2.open(path, "rb"), "bzip2"
    return path.open("rb"), ""

"""Write ``.npy`` files piece by piece, and open untrusted ones safely."""

from __future__ import annotations

import hashlib
import math
import mmap
import re
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from metaselector.common.errors import DataError

MAPPED_ROWS, MAPPED_USERS = 2**18, 2**10
"""Rows and users that are read from mapped files between two times that their pages are given back.
What is read usually maps 64 KB around it, so these users hold 0.07 GB of each array. Kernels that
keep files in huge pages map up to 2 MB."""
_SIZE = r"(?:0|[1-9]\d{0,15})"
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(<[fi][1-8])', 'fortran_order': False, "
    + f"'shape': \\(({_SIZE},|{_SIZE}(?:, {_SIZE})+)\\), \\}} *\n".encode(),
    re.DOTALL,
)


class ArrayFile:
    """Appends rows to an ``.npy`` file, which is complete when the context exits.

    Args:
        path: the file, which must not exist.
        dtype: type of the array.
        row: shape of one row.
    """

    def __init__(self, path: Path, dtype: Any, row: tuple[int, ...] = ()) -> None:
        self._dtype, self._row = np.dtype(dtype), row
        self._rows = 0
        self._sha = hashlib.sha256()
        self._file = path.open("xb")
        self._file.write(self._header())

    def append(self, rows: NDArray[Any]) -> None:
        """Append `rows` ``[n, *row]``, cast to the file's type."""
        rows = np.ascontiguousarray(rows, dtype=self._dtype)
        if rows.shape[1:] != self._row:
            raise ValueError(f"rows of shape {rows.shape[1:]} in a file of rows {self._row}")
        self._file.write(rows.data)
        self._sha.update(rows.data)
        self._rows += len(rows)

    @property
    def sha256(self) -> str:
        """SHA-256 of the rows so far."""
        return self._sha.hexdigest()

    def _header(self) -> bytes:
        """The header; NumPy pads it to a constant length, so the first axis can grow."""
        header = BytesIO()
        described = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._row),
        }
        npy.write_array_header_1_0(header, described)
        return header.getvalue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file as file:
            if error is None:
                file.seek(0)
                file.write(self._header())


def open_array(path: Path) -> tuple[NDArray[Any], int]:
    """Memory-map an ``.npy`` file written by :class:`ArrayFile`, read-only.

    Returns:
        The array, and the length of the header.

    Raises:
        DataError: the file is missing or damaged, or its size contradicts its header.
    """
    try:
        with path.open("rb") as file:
            start = file.read(10)
            header = start + file.read(int.from_bytes(start[8:], "little"))
        # NumPy's own parser raises arbitrary tokenizer errors for a damaged header, and even for an
        # intact one if two threads parse (CPython 3.11 and 3.12).
        said = _HEADER.fullmatch(header)
        if said is None:
            raise ValueError("not an array header")
        dtype = np.dtype(said[1].decode())
        shape = tuple(int(size) for size in said[2].split(b",") if size.strip())
        if path.stat().st_size != len(header) + dtype.itemsize * math.prod(shape):
            raise ValueError("its size does not match its header")
        mapped = np.memmap(path, dtype, "r", len(header), shape)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        problem = f"missing or damaged ({' '.join(str(error).split())})"
        raise DataError(path, f"{problem}; run `metaselector data prepare` again") from error
    # Return a plain view, because indexing NumPy's class of mapped files is slow.
    return mapped.view(np.ndarray), len(header)


def release(array: NDArray[Any]) -> None:
    """Give the pages of a mapped array back to the kernel, which reads them again when needed.

    Otherwise a process that passes once over large arrays holds all of them. Arrays in memory or
    writable, whose changes would be lost, are left alone, and so are systems without
    ``MADV_DONTNEED``.
    """
    if array.flags.writeable:
        return
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


class Pages:
    """The pages of mapped arrays, given back now and then while rows are read.

    That is after :data:`MAPPED_ROWS` rows, or those of :data:`MAPPED_USERS` users. Rows in random
    order may map all of the arrays before.

    Args:
        arrays: some of them may be in memory.
    """

    def __init__(self, arrays: Collection[NDArray[Any]]) -> None:
        self._arrays, self._rows, self._users = arrays, 0, 0

    def read(self, shape: tuple[int, ...]) -> None:
        """Say that rows ``[n]``, or rows of some users ``[U, n]``, have been read."""
        self._rows += math.prod(shape)
        self._users += shape[0] if len(shape) > 1 else 0
        if self._rows < MAPPED_ROWS and self._users < MAPPED_USERS:
            return
        self._rows = self._users = 0
        for array in self._arrays:
            release(array)

"""An ``.npy`` file that is written piece by piece."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class ArrayFile:
    """Appends rows to an ``.npy`` file; the file is complete once the context has been left.

    Args:
        path: of the file, which must not exist.
        dtype: of the array.
        row: shape of one row.
    """

    def __init__(self, path: Path, dtype: Any, row: tuple[int, ...] = ()) -> None:
        self._dtype, self._row = np.dtype(dtype), row
        self._rows = 0
        self._sha = hashlib.sha256()
        self._file = path.open("xb")
        self._file.write(self._header())

    def append(self, rows: NDArray[Any]) -> None:
        """Add `rows` ``[n, *row]``, cast to the file's type."""
        rows = np.ascontiguousarray(rows, dtype=self._dtype)
        if rows.shape[1:] != self._row:
            raise ValueError(f"rows of shape {rows.shape[1:]} in a file of rows {self._row}")
        self._file.write(rows.data)
        self._sha.update(rows.data)
        self._rows += len(rows)

    @property
    def sha256(self) -> str:
        """Of the rows so far."""
        return self._sha.hexdigest()

    def _header(self) -> bytes:
        """NumPy pads it so that its length stays the same while the first axis grows."""
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

"""Predictions on disk, written in any order and read in that of the rows."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np

from metaselector.data.interactions import Ints
from metaselector.inference.trained import UserPredictions


class KeptPredictions:
    """A file with a record of fixed size per row.

    Args:
        path: the new file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._dtype = np.dtype([])
        self._next = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: Ints, found: UserPredictions) -> None:
        """Write the predictions of some rows, rising int64 ``[n]``."""
        if not len(rows):
            return
        columns = found._asdict()
        self._dtype = np.dtype([(name, c.dtype, c.shape[1:]) for name, c in columns.items()])
        records = np.empty(len(rows), self._dtype)
        for name, column in columns.items():
            records[name] = column
        starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1)
        for start, stop in pairwise([*starts.tolist(), len(rows)]):
            self._file.seek(int(rows[start]) * self._dtype.itemsize)
            self._file.write(records[start:stop].tobytes())
        self._file.flush()  # a full disk is an error now

    def read(self, n: int) -> UserPredictions:
        """The predictions of the next `n` rows, all of which were written."""
        self._file.seek(self._next * self._dtype.itemsize)
        self._next += n
        records = np.fromfile(self._file, self._dtype, n)
        return UserPredictions(
            *(np.ascontiguousarray(records[name]) for name in records.dtype.names or ())
        )

"""What a staged interaction consists of, and the lines that records come from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

StagedRows = NDArray[Any]
"""Structured array ``[n]`` of :func:`staged_type`."""
LIST = "list"
"""Column of the number of a record's list, if there are lists."""


def staged_type(tasks: int, words: int, numbers: int, *, lists: bool = False) -> np.dtype[Any]:
    """Record type of one interaction: user, item, time, position in the file, labels, features.

    Labels are 0, 1, or nan if not observed. Word features are codes, -1 if missing. With `lists`, a
    record also has the number of its list.
    """
    return np.dtype(
        [
            ("user", np.int32),
            ("item", np.int32),
            ("time", np.int64),
            ("row", np.int64),
            ("labels", np.float32, (tasks,)),
            ("words", np.int32, (words,)),
            ("numbers", np.float64, (numbers,)),
            *([(LIST, np.int64)] if lists else []),
        ]
    )


class Lines:
    """Line numbers of rows, stored compactly: only jumps are kept."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.int64]] = []
        self._shifts: list[NDArray[np.int64]] = []

    def add(self, first_row: int, lines: NDArray[np.int64]) -> None:
        """Add the lines ``[n]`` of the next rows."""
        shifts = lines - np.arange(first_row, first_row + len(lines))
        last = self._shifts[-1][-1] if self._shifts else None
        places = np.flatnonzero(np.diff(shifts, prepend=shifts[:1] - 1))
        if len(places) and shifts[0] == last:
            places = places[1:]
        if len(places):
            self._rows.append(first_row + places)
            self._shifts.append(shifts[places])

    def of(self, row: int) -> int:
        """Line number of a row."""
        block = int(np.searchsorted([rows[0] for rows in self._rows], row, side="right")) - 1
        place = int(np.searchsorted(self._rows[block], row, side="right")) - 1
        return row + int(self._shifts[block][place])

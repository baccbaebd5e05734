"""Records of a raw file, block by block, common to all formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.interactions import Interactions
from metaselector.data.microseconds import of_numbers
from metaselector.data.raw.values import MEND, Column, plausible, typed


class Records(NamedTuple):
    """Consecutive lines of a file, one record each, checked as :class:`Column` requires.

    Attributes:
        first_line: 1-based line of the first record.
        table: the columns: strings, plain or dictionary-encoded; float64; or int64 microseconds
            for seconds.
    """

    first_line: int
    table: pa.Table

    def lines(self) -> NDArray[np.int64]:
        """1-based line of each record."""
        return np.arange(self.first_line, self.first_line + self.table.num_rows, dtype=np.int64)

    def words(self, column: str) -> pa.Array:
        """A column of strings, plain or dictionary-encoded."""
        return self.table[column].combine_chunks()

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column of numbers."""
        return self.table[column].to_numpy()

    def times(self, column: str) -> NDArray[np.int64]:
        """A column of seconds, converted to microseconds."""
        return self.table[column].to_numpy()

    def require(
        self, right: NDArray[np.bool_], path: Path, column: str, expected: str, remedy: str = MEND
    ) -> None:
        """Raise :class:`DataError` for the first number that is not marked in `right`."""
        if not right.all():
            row = int(np.argmin(right))
            problem = f"{self.numbers(column)[row]:.15g} is not {expected}; {remedy}"
            raise DataError(path, problem, line=self.first_line + row, column=column)

    def interactions(
        self, user: str, item: str, rating: str, timestamps: NDArray[np.int64]
    ) -> Interactions:
        """Convert to interactions, given the times and the names of the other columns."""
        labels = self.numbers(rating)[:, None]
        return Interactions(
            self.words(user), self.words(item), labels, timestamps, lines=self.lines()
        )


def checked(table: pa.Table, columns: Sequence[Column]) -> pa.Table | None:
    """Check a table parsed by pyarrow for :class:`Records`; None if the slow parser must decide.

    Args:
        table: the table, with seconds as float64.
        columns: columns of the result.
    """
    if not all(plausible(table[name], kind) for name, kind in columns):
        return None
    found = {
        name: of_numbers(table[name].to_numpy()) if kind == "seconds" else table[name]
        for name, kind in columns
    }
    return pa.table(found)


def frame_of(blocks: Iterable[Records], columns: Sequence[Column]) -> pd.DataFrame:
    """Collect all records of a small file: str, float64 or int64 by kind, and int64 ``line``."""
    frames = []
    for records in blocks:
        values = {name: typed(records.table[name].to_pandas(), kind) for name, kind in columns}
        frames.append(pd.DataFrame(values | {"line": records.lines()}))
    return pd.concat(frames, ignore_index=True)

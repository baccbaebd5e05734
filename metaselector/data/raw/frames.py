"""Data frames of pandas, Polars, Arrow and DuckDB, as Arrow arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeGuard

import numpy as np
import pandas as pd
import pyarrow as pa

from metaselector.common.errors import DataError
from metaselector.data.raw.columns import Raw, RawBlock, viewless

BLOCK_ROWS = 2**18


@dataclass(frozen=True)
class RawTable:
    """Rows in memory, read like those of a file.

    Attributes:
        path: their name in messages.
        columns: the columns, ``[n]`` each.
    """

    path: Path
    columns: Mapping[str, pa.Array]
    is_text = False
    is_typed = True

    @property
    def header(self) -> list[str]:
        """Column names."""
        return list(self.columns)

    def blocks(self, columns: Mapping[str, Raw]) -> Iterator[RawBlock]:
        """Yield some columns of every row, block by block; rows are counted from 1."""
        rows = len(next(iter(self.columns.values())))
        for start in range(0, rows, BLOCK_ROWS):
            found = {name: self.columns[name].slice(start, BLOCK_ROWS) for name in columns}
            lines = np.arange(start + 1, min(start + BLOCK_ROWS, rows) + 1, dtype=np.int64)
            yield RawBlock(self.path, lines, found)


class ArrowFrame(Protocol):
    """A table of any library that gives its columns to Arrow, such as Polars or DuckDB."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A capsule of a stream of record batches."""


Frame = pd.DataFrame | ArrowFrame


def is_frame(given: object) -> TypeGuard[Frame]:
    """Whether something is a data frame."""
    return isinstance(given, pd.DataFrame) or hasattr(given, "__arrow_c_stream__")


def frame_names(frame: Frame) -> list[str]:
    """Column names in order, converted to text."""
    names = frame.columns if isinstance(frame, pd.DataFrame) else pa.table(frame).column_names
    return [str(name) for name in names]


def frame_columns(frame: Frame, source: Path | str, wanted: Iterable[str]) -> dict[str, pa.Array]:
    """Convert the `wanted` columns that `frame` has; other columns may hold anything.

    Args:
        frame: the data frame: of pandas, or of a library that exchanges columns with Arrow.
        source: its name in messages.
        wanted: column names.

    Raises:
        DataError: it is not a data frame, two columns have a wanted name, or one mixes types.
    """
    if not is_frame(frame):
        problem = f"is a {type(frame).__name__}; pass a data frame of pandas, Polars or Arrow"
        raise DataError(source, problem)
    table = frame if isinstance(frame, pd.DataFrame) else pa.table(frame)
    names = frame_names(table)
    found = {}
    for name in dict.fromkeys(wanted):
        many = names.count(name)
        if many > 1:
            problem = f"{many} columns have this name; rename or drop all but one of them"
            raise DataError(source, problem, column=name)
        if many and isinstance(table, pa.Table):
            found[name] = _whole(table.column(names.index(name)))
        elif many:
            found[name] = _array(table.iloc[:, names.index(name)], source, name)
    return found


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """The chunks as one array with one dictionary."""
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    whole = column.combine_chunks()
    return viewless(whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole)


def _array(column: pd.Series, source: Path | str, name: str) -> pa.Array:
    if isinstance(column.dtype, pd.SparseDtype):
        column = pd.Series(column.to_numpy())
    try:
        array = pa.Array.from_pandas(column)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        problem = f"mixed or unsupported types of values ({reason}); make them "
        raise DataError(source, problem + "all text or all numbers", column=name) from error
    return _whole(array) if isinstance(array, pa.ChunkedArray) else viewless(array)

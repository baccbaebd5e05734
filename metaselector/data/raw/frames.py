"""Columns of a data frame as Arrow arrays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from metaselector.common.errors import DataError


def frame_names(frame: pd.DataFrame) -> list[str]:
    """Column names in order, converted to text."""
    return [str(name) for name in frame.columns]


def frame_columns(
    frame: pd.DataFrame, source: Path | str, wanted: Iterable[str]
) -> dict[str, pa.Array]:
    """Convert the `wanted` columns that `frame` has; other columns may hold anything.

    Args:
        frame: the data frame.
        source: its name in messages.
        wanted: column names.

    Raises:
        DataError: it is not a data frame, two columns have a wanted name, or one mixes types.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(source, f"is a {type(frame).__name__}; pass a pandas.DataFrame")
    names = frame_names(frame)
    found = {}
    for name in dict.fromkeys(wanted):
        many = names.count(name)
        if many > 1:
            problem = f"{many} columns have this name; rename or drop all but one of them"
            raise DataError(source, problem, column=name)
        if many:
            found[name] = _array(frame.iloc[:, names.index(name)], source, name)
    return found


def _array(column: pd.Series, source: Path | str, name: str) -> pa.Array:
    if isinstance(column.dtype, pd.SparseDtype):
        column = pd.Series(column.to_numpy())
    try:
        array = pa.Array.from_pandas(column)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        problem = f"mixed or unsupported types of values ({reason}); make them "
        raise DataError(source, problem + "all text or all numbers", column=name) from error
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array

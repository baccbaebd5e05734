"""Limit the expansion of compressed files.

Logs compress to a tenth or a thirtieth of their size. A file that expands hundreds of times was
made to fill memory and disks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from metaselector.common.errors import ConfigError, DataError
from metaselector.common.files import about

VARIABLE = "METASELECTOR_MAX_EXPANSION"
MAX_EXPANSION = 100.0
ALLOWANCE = 2**25
"""Bytes that any file may expand to."""
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_CODE_BYTES = 4  # index of a word among the distinct ones


def most_bytes(path: Path) -> float:
    """Maximum bytes that a file may expand to; set by :data:`VARIABLE`, which may be ``inf``.

    Raises:
        ConfigError: the variable is not a number of at least 1.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        times = float(text) if text else MAX_EXPANSION
    except ValueError:
        times = math.nan
    if not times >= 1:
        raise ConfigError(f"{VARIABLE}={text[:80]!r} is not a number of at least 1; correct it")
    return max(ALLOWANCE, times * path.stat().st_size)


def too_large(path: Path, most: float, line: int | None = None) -> DataError:
    """The error for a file that expands beyond `most` bytes."""
    size = about(path.stat().st_size)
    return DataError(
        path,
        f"expands from {size} to more than {about(int(most))}; if that is right, raise the limit "
        f"with the environment variable {VARIABLE} (times the file's size; {MAX_EXPANSION:g} by "
        "default, inf for no limit)",
        line=line,
    )


def check_parquet(path: Path, file: pq.ParquetFile, columns: Collection[str] | None = None) -> None:
    """Check from its metadata how far columns of a Parquet file expand.

    Args:
        path: the file, for messages.
        file: the same file, opened.
        columns: the columns to read; all by default.

    Raises:
        DataError: they expand beyond :func:`most_bytes`.
        pyarrow.ArrowException, OSError: the file is damaged.
    """
    most, found = most_bytes(path), file.metadata
    groups = range(found.num_row_groups)
    if sum(found.row_group(group).total_byte_size for group in groups) > most:
        raise too_large(path, most)
    for group in groups:
        # Contradictory metadata of a column crash the process when asked for (pyarrow 26); reading
        # a row detects them first, and raises.
        names = None if columns is None else list(columns)
        next(file.iter_batches(1, row_groups=[group], columns=names), None)
    total = sum(
        max(chunk.num_values * _width(found, place), chunk.total_uncompressed_size)
        for group in range(found.num_row_groups)
        for place, chunk in _leaves(found, group, columns)
    )
    if total > most:
        raise too_large(path, most)


def values_a_row(found: pq.FileMetaData, columns: Collection[str]) -> float:
    """Values per row of a Parquet file in `columns`, in the row group with the most."""
    return max(
        (
            sum(chunk.num_values for _, chunk in _leaves(found, group, columns))
            / max(found.row_group(group).num_rows, 1)
            for group in range(found.num_row_groups)
        ),
        default=0.0,
    )


def read_whole(path: Path) -> pa.Table:
    """Read a whole Parquet file; raises :class:`DataError` like :func:`check_parquet`."""
    with pq.ParquetFile(path) as file:
        check_parquet(path, file)
        return file.read()


def _leaves(
    found: pq.FileMetaData, group: int, columns: Collection[str] | None
) -> Iterator[tuple[int, pq.ColumnChunkMetaData]]:
    """Yield chunks of columns with their index; lists and structs have several below their name."""
    of_group = found.row_group(group)
    for place in range(found.num_columns):
        steps = found.schema.column(place).path.split(".")
        names = {".".join(steps[:end]) for end in range(1, len(steps) + 1)}
        if columns is None or not names.isdisjoint(columns):
            yield place, of_group.column(place)


def _width(found: pq.FileMetaData, place: int) -> int:
    column = found.schema.column(place)
    if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
        return int(column.length)
    return _WIDTHS.get(column.physical_type, _CODE_BYTES)

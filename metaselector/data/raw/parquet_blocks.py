"""Read Parquet files block by block."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from metaselector.common.errors import DataError
from metaselector.data.raw.columns import RawBlock, viewless
from metaselector.data.raw.csv_lines import MAX_COLUMNS
from metaselector.data.raw.expansion import check_parquet, most_bytes, too_large, values_a_row

BLOCK_ROWS = 2**18
_VALUES = 2**23
"""Maximum values of a block, as columns and lists may be many."""
_TEXT = (pa.string(), pa.large_string())


def parquet_header(path: Path) -> list[str]:
    """Column names; raises :class:`DataError` if two are equal."""
    with _opened(path) as file:
        names: list[str] = file.schema_arrow.names
    if len(names) > MAX_COLUMNS:
        problem = f"has {len(names):,} columns, but at most {MAX_COLUMNS:,} are allowed"
        raise DataError(path, problem)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(path, "two columns have this name; rename one of them", column=name)
        seen.add(name)
    return names


def parquet_blocks(
    files: Sequence[Path], columns: Collection[str], rows: int = BLOCK_ROWS
) -> Iterator[RawBlock]:
    """Read some columns of every row of all files.

    Yields:
        Blocks of at most `rows` rows, fewer if lists are long. Text is dictionary-encoded; other
        columns have the file's type.

    Raises:
        DataError: a file is missing, unreadable or not Parquet, expands beyond :func:`most_bytes`,
            or the files disagree on the type of one of `columns`.
    """
    expected: dict[str, str] | None = None
    for name in files:
        first = 1
        with _opened(name) as file:
            schema = file.schema_arrow
            types = {column: _type(schema, column) for column in columns}
            expected = types if expected is None else expected
            for column, type_ in types.items():
                if type_ != expected[column]:
                    problem = f"has {type_}, but {expected[column]} in {files[0].name}; write "
                    raise DataError(name, problem + "all files with the same types", column=column)
            check_parquet(name, file, columns)
            most = min(rows, int(_VALUES / max(values_a_row(file.metadata, columns), 1)) or 1)
            for batch in file.iter_batches(most, columns=list(columns)):
                if batch.num_rows:
                    lines = np.arange(first, first + batch.num_rows, dtype=np.int64)
                    found = {column: _valid(name, first, batch, column) for column in columns}
                    yield RawBlock(name, lines, found)
                    first += batch.num_rows


def _valid(path: Path, first: int, batch: pa.RecordBatch, name: str) -> pa.Array:
    """Validate a column's UTF-8 text and dictionary, which Arrow does not check."""
    column = batch.column(name)
    try:
        column.validate(full=True)
    except pa.ArrowException as error:
        problem = f"damaged, or not UTF-8 text, in one of {len(batch):,} rows from here on "
        problem += f"({_one_line(error)}); write the file again"
        raise DataError(path, problem, line=first, column=name) from error
    return viewless(_plain(path, column))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _type(schema: pa.Schema, column: str) -> str:
    if column not in schema.names:
        return "no type"
    type_ = schema.field(column).type
    return f"type {type_.value_type if pa.types.is_dictionary(type_) else type_}"


def _plain(path: Path, column: pa.Array) -> pa.Array:
    """Decode lists of words, which are read dictionary-encoded to check their size first."""
    type_ = column.type
    if not (pa.types.is_list(type_) and pa.types.is_dictionary(type_.value_type)):
        return column
    words = column.flatten()
    lengths = pc.binary_length(words.dictionary).fill_null(0).to_numpy(zero_copy_only=False)
    often = np.bincount(words.indices.drop_null().to_numpy(), minlength=len(lengths))
    most = most_bytes(path)
    if int(often @ lengths.astype(np.int64)) > most:
        raise too_large(path, most)
    return column.cast(pa.list_(type_.value_type.value_type))


@contextmanager
def _opened(path: Path) -> Iterator[parquet.ParquetFile]:
    """Open a Parquet file with dictionary-encoded text, and report damage as :class:`DataError`."""
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            paths = [file.schema.column(place).path for place in range(file.metadata.num_columns)]
        text = [field.name for field in schema if field.type in _TEXT]
        lists = [f.name for f in schema if pa.types.is_list(f.type) and f.type.value_type in _TEXT]
        text += [leaf for leaf in paths if any(leaf.startswith(f"{name}.") for name in lists)]
        with parquet.ParquetFile(
            path, read_dictionary=text, page_checksum_verification=True
        ) as file:
            yield file
    except UnicodeDecodeError as error:
        problem = f"the name of a column is not UTF-8 ({error.object!r}); rename it"
        raise DataError(path, problem) from error
    except FileNotFoundError as error:
        raise DataError(path, "file not found") from error
    except pa.ArrowException as error:
        problem = f"not a Parquet file, or damaged ({_one_line(error)}); copy it again"
        raise DataError(path, problem) from error
    except OSError as error:
        raise DataError(path, f"cannot be read ({_one_line(error)}); copy it again") from error

"""Read delimited text files of fixed columns, fast, with exact errors.

Blocks go through pyarrow's parser. A block that it rejects goes line by line through a slow parser,
which either accepts it after all or reports the first malformed line.
"""

from __future__ import annotations

import csv as quoting
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from metaselector.common.errors import DataError
from metaselector.data.raw.lines import BLOCK_BYTES, BYTE_ORDER_MARK, Block, read_blocks
from metaselector.data.raw.records import Records, checked, frame_of
from metaselector.data.raw.values import ARROW, CHECKED, MEND, Column, from_text, shown

_UNIT_SEPARATOR = b"\x1f"
_HEADER_BYTES = 2**20
_KEY = pa.dictionary(pa.int32(), pa.string())
"""Keys repeat, so a dictionary is much smaller than their text."""
_PARSED, _CHECKED = ARROW | {"key": _KEY}, CHECKED | {"key": _KEY}


@dataclass(frozen=True)
class TextLayout:
    """Columns and format of a delimited text file.

    Attributes:
        columns: the columns, in the order of the file.
        separator: one character, or several, as in ``::``.
        encoding: ``"utf-8"`` or ``"latin-1"``.
        header_lines: lines before the first record.
        quoted: whether values may be in double quotes, as in CSV. Blocks with quotes are read line
            by line, which is fine for items but slow for interactions.
    """

    columns: tuple[Column, ...]
    separator: str = "\t"
    encoding: str = "utf-8"
    header_lines: int = 0
    quoted: bool = False


def read_rows(path: Path, layout: TextLayout, size: int = BLOCK_BYTES) -> Iterator[Records]:
    """Read the records of a file, gzipped or not; blank lines at the end are ignored.

    Args:
        path: the file.
        layout: its columns and format.
        size: bytes of text read at a time; memory stays within a few times this.

    Yields:
        The columns of `layout`, keys dictionary-encoded, in the order of the file.

    Raises:
        DataError: as :func:`read_blocks`, or a line has too few or too many columns, an empty key,
            an invalid number or time, or bytes that are not text; or the file ends within a
            number.
    """
    empty = True
    for block in read_blocks(path, size):
        block = block.after(layout.header_lines)
        if not block.data:
            continue
        empty = False
        table = read_fast(block, layout)
        table = read_slowly(path, block, layout) if table is None else table
        records = Records(block.first_line, table)
        _check_end(path, block, layout, last_line=block.first_line + table.num_rows - 1)
        yield records
    if empty:
        raise DataError(path, "the file contains no records; copy or fetch it again")


def read_table(path: Path, layout: TextLayout) -> pd.DataFrame:
    """Read all records of `path` at once; arguments and errors as for :func:`read_rows`.

    Returns:
        One row per record in the order of the file: the columns of `layout` (str, float64 or
        int64, by kind) and ``line``, int64, the 1-based line of the record.
    """
    return frame_of(read_rows(path, layout), layout.columns)


def first_line(path: Path) -> str:
    """Read the first line of a UTF-8 file, without its line end; raises like :func:`read_rows`."""
    for block in read_blocks(path, _HEADER_BYTES):
        return _decode(block.lines()[0], "utf-8", path, line=1, column=None)
    raise AssertionError("a file without lines is an error")  # pragma: no cover


def index_by(frame: pd.DataFrame, key: str, path: Path) -> pd.DataFrame:
    """Index a table of :func:`read_table` by its `key` column, dropping ``line``.

    Raises:
        DataError: a key occurs twice.
    """
    repeated = np.flatnonzero(frame[key].duplicated())
    if len(repeated):
        row = frame.iloc[repeated[0]]
        earlier = int(frame["line"][frame[key] == row[key]].iloc[0])
        raise DataError(
            path,
            f"{shown(row[key])} was already described in line {earlier}; remove one of the two",
            line=int(row["line"]),
            column=key,
        )
    return frame.drop(columns="line").set_index(key)


def read_fast(block: Block, layout: TextLayout) -> pa.Table | None:
    """Parse the columns of a block with pyarrow; None if anything is unusual."""
    data = block.data
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return None  # pyarrow ends a line at a lone carriage return, the slow parser does not
    if data.startswith(BYTE_ORDER_MARK):
        return None  # part of a value here, but pyarrow would drop it
    if layout.quoted and b'"' in data:
        return None
    separator = layout.separator.encode()
    if len(separator) > 1:
        if _UNIT_SEPARATOR in data:
            return None
        data, separator = data.replace(separator, _UNIT_SEPARATOR), _UNIT_SEPARATOR
    names = [column.name for column in layout.columns]
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            # A single block gives keys a single dictionary.
            csv.ReadOptions(column_names=names, encoding=layout.encoding, block_size=len(data) + 1),
            csv.ParseOptions(
                delimiter=separator.decode(), quote_char=False, ignore_empty_lines=False
            ),
            csv.ConvertOptions(
                column_types={name: _PARSED[kind] for name, kind in layout.columns},
                null_values=[],
            ),
        )
    except pa.ArrowInvalid:
        return None
    return checked(table, layout.columns)


def read_slowly(path: Path, block: Block, layout: TextLayout) -> pa.Table:
    """Parse the columns of a block; raise :class:`DataError` for the first malformed line."""
    values: list[list[Any]] = [[] for _ in layout.columns]
    lines = block.lines()
    for number, raw in enumerate(lines, start=block.first_line):
        fields = _split(path, number, raw, layout)
        is_last = block.last and number == block.first_line + len(lines) - 1
        _check_count(path, number, fields, layout, is_last)
        for field, found, (name, kind) in zip(fields, values, layout.columns, strict=True):
            text = _decode(field, layout.encoding, path, number, name)
            try:
                found.append(from_text(text, kind))
            except ValueError as error:
                raise DataError(path, f"{error}; {MEND}", line=number, column=name) from None
    schema = pa.schema([(name, _CHECKED[kind]) for name, kind in layout.columns])
    arrays = [pa.array(v, field.type) for v, field in zip(values, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def _check_end(path: Path, block: Block, layout: TextLayout, last_line: int) -> None:
    column = layout.columns[-1]
    if column.kind in ("number", "seconds") and not block.data.endswith(b"\n"):
        # A truncated number is still a number, so the missing line end is the only trace.
        raise DataError(
            path,
            "the last line has no line end, as in a truncated file; copy or fetch it again, or "
            "end the line if the file is complete",
            line=last_line,
            column=column.name,
        )


def _split(path: Path, number: int, raw: bytes, layout: TextLayout) -> list[bytes]:
    if not layout.quoted:
        return raw.split(layout.separator.encode())
    # Keep bytes that are not text, for the message that names their column.
    text = raw.decode(layout.encoding, "surrogateescape")
    try:
        found = next(quoting.reader([text], delimiter=layout.separator, strict=True)) or [""]
    except quoting.Error as error:
        line = raw.decode(layout.encoding, "replace")
        raise DataError(path, f"{shown(line)} is not CSV ({error}); {MEND}", line=number) from error
    return [field.encode(layout.encoding, "surrogateescape") for field in found]


def _check_count(
    path: Path, number: int, fields: Sequence[bytes], layout: TextLayout, is_last: bool
) -> None:
    found, expected = len(fields), len(layout.columns)
    if found == expected:
        return
    row = layout.separator.join(field.decode(layout.encoding, "replace") for field in fields)
    problem = f"{shown(row)} has {found} instead of {expected} columns separated by "
    problem += f"{layout.separator!r}; "
    if found > expected:
        raise DataError(path, problem + MEND, line=number, column=layout.columns[-1].name)
    problem += "the file looks cut short, copy or fetch it again" if is_last else MEND
    raise DataError(path, problem, line=number, column=layout.columns[found].name)


def _decode(raw: bytes, encoding: str, path: Path, line: int, column: str | None) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        problem = (
            f"byte 0x{raw[error.start]:02x} in {shown(raw.decode(encoding, 'replace'))} is not "
        )
        problem += f"{encoding} text; save the file as {encoding}"
        raise DataError(path, problem, line=line, column=column) from error

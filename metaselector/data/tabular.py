"""Delimited text files, read fast when they are right and exactly when they are wrong.

A right file goes through pyarrow's parser. Whatever that refuses is read again line by line by a
slow twin, which either accepts the file after all or names the first bad line.
"""

from __future__ import annotations

import csv as quoting
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from metaselector.data.values import ARROW, MEND, Column, from_text, plausible, shown, typed
from metaselector.errors import DataError

_UNIT_SEPARATOR = b"\x1f"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEADER_BYTES = 2**20


@dataclass(frozen=True)
class Layout:
    """How a file is laid out.

    Attributes:
        columns: the columns, in the order of the file.
        separator: one character, or several as in ``::``.
        encoding: ``"utf-8"`` or ``"latin-1"``.
        header_lines: lines before the first record.
        quoted: whether a value may stand in double quotes, as in CSV. Such files are read line by
            line: right for descriptions of items, slow for interactions.
    """

    columns: tuple[Column, ...]
    separator: str = "\t"
    encoding: str = "utf-8"
    header_lines: int = 0
    quoted: bool = False


def read_table(path: Path, layout: Layout) -> pd.DataFrame:
    """Read every record of `path`; blank lines at the end are ignored.

    Returns:
        One row per record in the order of the file: the columns of `layout` (str, float64 or
        int64, by kind) and ``line``, int64, the 1-based line of the record.

    Raises:
        DataError: the file is missing, unreadable or empty, or a line has too few or too many
            columns, an empty key, a number or time that is none, or bytes that are not text; or
            the file ends inside a number.
    """
    data = _load(path)
    frame = None if layout.quoted else _read_fast(data, layout)
    frame = _read_slowly(path, data, layout) if frame is None else frame
    last = layout.columns[-1]
    if last.kind in ("number", "seconds") and not data.endswith(b"\n"):
        # A cut number is still a number, so this is the only trace that a cut here leaves.
        raise DataError(
            path,
            "the last line has no line end, as in a truncated file; copy or fetch it again, or "
            "end the line if the file is complete",
            line=int(frame["line"].iloc[-1]),
            column=last.name,
        )
    return frame


def first_line(path: Path) -> str:
    """The first line of a UTF-8 file, without its line end; raises like :func:`read_table`.

    A line longer than 1 MiB is cut there.
    """
    raw = _load(path, _HEADER_BYTES).partition(b"\n")[0].removesuffix(b"\r")
    return _decode(raw, "utf-8", path, line=1, column=None)


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


def _load(path: Path, size: int = -1) -> bytes:
    """The first `size` bytes of a file, by default all of them."""
    try:
        with path.open("rb") as file:
            data = file.read(size)
    except FileNotFoundError as error:
        raise DataError(path, "no such file; check the path, or fetch the data again") from error
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror or error})") from error
    if not data or data.isspace():
        raise DataError(path, "the file is empty; copy or fetch it again")
    return data.removeprefix(_BYTE_ORDER_MARK)


def _read_fast(data: bytes, layout: Layout) -> pd.DataFrame | None:
    """What the file holds, or None where anything is unusual."""
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return None  # pyarrow ends a line at a lone carriage return, the slow twin does not
    separator = layout.separator.encode()
    if len(separator) > 1:
        if _UNIT_SEPARATOR in data:
            return None
        data, separator = data.replace(separator, _UNIT_SEPARATOR), _UNIT_SEPARATOR
    names = [column.name for column in layout.columns]
    try:
        table = csv.read_csv(
            pa.BufferReader(_without_line_ends(data)),
            csv.ReadOptions(
                column_names=names, skip_rows=layout.header_lines, encoding=layout.encoding
            ),
            csv.ParseOptions(
                delimiter=separator.decode(), quote_char=False, ignore_empty_lines=False
            ),
            csv.ConvertOptions(
                column_types={column.name: ARROW[column.kind] for column in layout.columns},
                null_values=[],
            ),
        )
    except pa.ArrowInvalid:
        return None
    values: dict[str, Any] = {}
    for name, kind in layout.columns:
        column = (
            table[name].to_numpy() if kind in ("number", "seconds") else table[name].to_pandas()
        )
        if not plausible(column, kind):
            return None
        values[name] = column
    return _frame(values, layout, table.num_rows)


def _without_line_ends(data: bytes) -> memoryview:
    """`data` without the line ends after the last record; files are too large to copy for that."""
    end = len(data)
    while end and data[end - 1] in b"\r\n":
        end -= 1
    return memoryview(data)[:end]


def _read_slowly(path: Path, data: bytes, layout: Layout) -> pd.DataFrame:
    lines = data.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) <= layout.header_lines:
        raise DataError(path, "the file holds no records; copy or fetch it again")
    rows = []
    for number, raw in enumerate(lines[layout.header_lines :], start=layout.header_lines + 1):
        fields = _split(path, number, raw.removesuffix(b"\r"), layout)
        _check_count(path, number, fields, layout, is_last=number == len(lines))
        row = []
        for field, (name, kind) in zip(fields, layout.columns, strict=True):
            text = _decode(field, layout.encoding, path, number, name)
            try:
                row.append(from_text(text, kind))
            except ValueError as error:
                raise DataError(path, f"{error}; {MEND}", line=number, column=name) from None
        rows.append(row)
    names = [column.name for column in layout.columns]
    values = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return _frame(values, layout, len(rows))


def _split(path: Path, number: int, raw: bytes, layout: Layout) -> list[bytes]:
    if not layout.quoted:
        return raw.split(layout.separator.encode())
    # Bytes that are not text go round unchanged, for the message that names their column.
    text = raw.decode(layout.encoding, "surrogateescape")
    try:
        found = next(quoting.reader([text], delimiter=layout.separator, strict=True)) or [""]
    except quoting.Error as error:
        line = raw.decode(layout.encoding, "replace")
        raise DataError(path, f"{shown(line)} is no CSV ({error}); {MEND}", line=number) from error
    return [field.encode(layout.encoding, "surrogateescape") for field in found]


def _check_count(
    path: Path, number: int, fields: Sequence[bytes], layout: Layout, is_last: bool
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


def _frame(values: dict[str, Any], layout: Layout, rows: int) -> pd.DataFrame:
    frame = pd.DataFrame({name: typed(values[name], kind) for name, kind in layout.columns})
    first = layout.header_lines + 1
    return frame.assign(line=np.arange(first, first + rows, dtype=np.int64))


def _decode(raw: bytes, encoding: str, path: Path, line: int, column: str | None) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        problem = (
            f"byte 0x{raw[error.start]:02x} in {shown(raw.decode(encoding, 'replace'))} is not "
        )
        problem += f"{encoding} text; save the file as {encoding}"
        raise DataError(path, problem, line=line, column=column) from error

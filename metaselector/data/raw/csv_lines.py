"""Parse delimited text line by line: headers, and blocks that the fast parser rejects."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from metaselector.common.errors import DataError
from metaselector.data.raw.columns import Raw
from metaselector.data.raw.lines import Block, decode, read_blocks
from metaselector.data.raw.values import MEND, shown

MAX_COLUMNS = 2**14
_COMMON = ",;\t|"
_HEADER_BYTES = 2**16


def text_header(path: Path, separator: str, quoted: bool = True) -> list[str]:
    """Read the column names in the first line; arguments as for :func:`text_blocks`.

    Raises:
        DataError: as :func:`read_blocks`, or the line is not a header because a name is given
            twice or there is only one.
    """
    first = next(read_blocks(path, _HEADER_BYTES))
    line = first.lines()[0]
    decode(path, 1, line)
    names = _split(path, 1, line, separator, quoted)
    if len(names) == 1:
        found = [other for other in _COMMON if other != separator and other in names[0]]
        problem = f"the header has one column, {shown(names[0])}; set separator in the schema"
        if found:
            problem = (
                f"the header looks separated by {found[0]!r}, not {separator!r}; "
                f"set separator: {_yaml(found[0])} in the schema"
            )
        raise DataError(path, problem, line=1)
    if len(names) > MAX_COLUMNS:
        problem = f"the header has {len(names):,} columns, but at most {MAX_COLUMNS:,} are allowed"
        raise DataError(path, problem, line=1)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            problem = f"{shown(name)} is given twice in the header; rename one of them"
            raise DataError(path, problem, line=1, column=name)
        seen.add(name)
    return names


def read_slowly(
    path: Path,
    block: Block,
    separator: str,
    names: list[str],
    columns: Mapping[str, Raw],
    quoted: bool = True,
) -> dict[str, pa.Array]:
    """Parse the columns as strings; raise :class:`DataError` for the first malformed line."""
    wanted = [(name, names.index(name)) for name in columns]
    found: dict[str, list[str]] = {name: [] for name in columns}
    lines = block.lines()
    for number, raw in enumerate(lines, block.first_line):
        values = _split(path, number, raw, separator, quoted)
        if len(values) != len(names):
            is_cut = number == block.first_line + len(lines) - 1 and not block.data.endswith(b"\n")
            raise _wrong_count(path, number, values, names, separator, is_cut)
        for name, position in wanted:
            found[name].append(_text(path, number, name, values[position]))
    return {name: pa.array(values, pa.string()) for name, values in found.items()}


def _split(path: Path, number: int, raw: bytes, separator: str, quoted: bool) -> list[str]:
    """Split a line into values; bytes that are not text are kept."""
    if not raw.strip():
        raise DataError(path, "the line is blank; remove it", line=number)
    text = raw.decode(errors="surrogateescape")
    if not quoted:
        return text.split(separator)
    try:
        return next(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        line = raw.decode(errors="replace")
        problem = f"{shown(line)} is not CSV ({error}); values cannot contain line breaks, and "
        problem += 'quotes within quotes are doubled (""); '
        raise DataError(path, problem + MEND, line=number) from error


def _text(path: Path, number: int, column: str, value: str) -> str:
    """Return `value`, or raise :class:`DataError` if it has bytes that are not text."""
    if value.isascii():
        return value
    raw = value.encode(errors="surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        text = shown(raw.decode(errors="replace"))
        problem = f"byte 0x{raw[error.start]:02x} in {text} is not utf-8 text; save the file as "
        raise DataError(path, problem + "utf-8", line=number, column=column) from error


def _wrong_count(
    path: Path,
    number: int,
    values: Sequence[str],
    names: Sequence[str],
    separator: str,
    is_cut: bool,
) -> DataError:
    found, expected = len(values), len(names)
    line = separator.join(values).encode(errors="surrogateescape").decode(errors="replace")
    problem = f"{shown(line)} has {found} instead of {expected} values separated by {separator!r}; "
    if found > expected:
        problem += "quote values that contain the separator"
        return DataError(path, problem, line=number, column=names[-1])
    problem += "the file looks cut short, copy it again" if is_cut else MEND
    return DataError(path, problem, line=number, column=names[found])


def _yaml(separator: str) -> str:
    return '"\\t"' if separator == "\t" else f'"{separator}"'

"""Read JSON lines, one object per line, fast, with exact errors.

Blocks go through pyarrow's parser. A block that it rejects goes line by line through a slow parser,
which either accepts it after all or reports the first malformed line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json

from metaselector.common.errors import DataError
from metaselector.data.raw.lines import BLOCK_BYTES, Block, decode, read_blocks
from metaselector.data.raw.records import Records, checked
from metaselector.data.raw.values import ARROW, CHECKED, MEND, Column, Kind, number, shown


def read_json_lines(
    path: Path, columns: Sequence[Column], size: int = BLOCK_BYTES
) -> Iterator[Records]:
    """Read some keys of every object of a file, gzipped or not, and ignore the others.

    Args:
        path: the file.
        columns: the keys.
        size: bytes of text read at a time; memory stays within a few times this.

    Yields:
        The columns, in the order of the file.

    Raises:
        DataError: as :func:`read_blocks`, or a line is not a JSON object or not UTF-8, lacks a key,
            or has an invalid value.
    """
    for block in read_blocks(path, size):
        table = read_fast(block, columns)
        table = read_slowly(path, block, columns) if table is None else table
        yield Records(block.first_line, table)


def first_object(path: Path) -> dict[str, Any]:
    """Read the object in the first line; raises like :func:`read_json_lines`."""
    for block in read_blocks(path, 2**16):
        return parse(path, block.first_line, block.lines()[0])
    raise AssertionError("a file without lines is an error")  # pragma: no cover


def read_fast(block: Block, columns: Sequence[Column]) -> pa.Table | None:
    """Parse the columns of a block with pyarrow; None if anything is unusual."""
    data = block.data
    starts = data.startswith(b"{") + data.count(b"\n{")
    ends = data.count(b"}\n") + data.count(b"}\r\n") + data.endswith(b"}")
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    # Each line must start and end an object, or pyarrow's rows would not match our lines.
    if (
        starts != lines
        or ends != lines
        or data.count(b"\r") != data.count(b"\r\n")
        or not _is_text(data)
    ):
        return None
    schema = pa.schema([(name, ARROW[kind]) for name, kind in columns])
    try:
        table = arrow_json.read_json(
            pa.BufferReader(data),
            arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != lines:
        return None
    return checked(table, columns)


def read_slowly(path: Path, block: Block, columns: Sequence[Column]) -> pa.Table:
    """Parse the columns of a block; raise :class:`DataError` for the first malformed line."""
    values: dict[str, list[Any]] = {name: [] for name, _ in columns}
    for line, found in _objects(path, block):
        for name, kind in columns:
            if name not in found:
                problem = f"the key is missing; the line has {', '.join(found) or 'no keys'}"
                raise DataError(path, f"{problem[:160]}; {MEND}", line=line, column=name)
            try:
                values[name].append(_value(found[name], kind))
            except ValueError as error:
                raise DataError(path, f"{error}; {MEND}", line=line, column=name) from None
    schema = pa.schema([(name, CHECKED[kind]) for name, kind in columns])
    return pa.table(values, schema=schema)


def _objects(path: Path, block: Block) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, raw in enumerate(block.lines(), start=block.first_line):
        yield line, parse(path, line, raw)


def parse(path: Path, line: int, raw: bytes) -> dict[str, Any]:
    """Parse a line as an object; a repeated key has a value of another type than JSON's."""
    text = decode(path, line, raw)
    try:
        found = json.loads(text, object_pairs_hook=_marking_repeats)
    except (ValueError, RecursionError) as error:
        problem = f"{shown(text)} is not JSON ({error})"
        raise DataError(path, f"{problem}; {MEND}", line=line) from error
    if not isinstance(found, dict):
        raise DataError(path, f"{shown(text)} is not a JSON object; {MEND}", line=line)
    return found


class _Repeated:
    """Replaces the value of a key that an object repeats."""


def _marking_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _Repeated() if key in found else value
    return found


def _value(value: Any, kind: Kind) -> str | float | int:
    if isinstance(value, _Repeated):
        raise ValueError("the key is given twice")
    if isinstance(value, dict | list):
        raise ValueError(
            f"a {'list' if isinstance(value, list) else 'nested object'} is not a valid value"
        )
    text = shown(json.dumps(value)) if not isinstance(value, str) else shown(value)
    if kind in ("key", "text"):
        if not isinstance(value, str) or not _encodable(value):
            raise ValueError(f"{text} is not text")
        if kind == "key" and not value:
            raise ValueError("'' is empty")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{text} is not a number")
    try:
        return number(float(value), "seconds" if kind == "seconds" else "number", text)
    except OverflowError:
        raise ValueError(f"{text} is not a finite number") from None


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _encodable(text: str) -> bool:
    """Whether `text` has no lone surrogates, which JSON can express but UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

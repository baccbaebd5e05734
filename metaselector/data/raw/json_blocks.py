"""Read logs of JSON lines, one object per line, block by block.

DuckDB takes the objects apart. Values keep the spelling of the file, as in other text files, and
are checked as such; lists of words stay lists.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metaselector.common.errors import DataError
from metaselector.data.raw.columns import RawBlock
from metaselector.data.raw.engine import engine, literal
from metaselector.data.raw.json_lines import parse
from metaselector.data.raw.lines import BLOCK_BYTES, decode, read_blocks
from metaselector.data.raw.values import MEND, shown

_HEADER_BYTES = 2**20
_SOUND = """case when json_valid(line) then json_type(line) = 'OBJECT'
    and len(json_keys(line)) = len(list_distinct(json_keys(line))) else false end"""
"""Whether a line is an object that gives each key once."""


def json_header(path: Path) -> list[str]:
    """All keys of the objects in the first megabyte, in order of first occurrence.

    Raises:
        DataError: as :func:`json_blocks`, or the first object has no keys.
    """
    block = next(read_blocks(path, _HEADER_BYTES))
    names: dict[str, None] = {}
    for line, raw in enumerate(block.lines(), block.first_line):
        names |= dict.fromkeys(parse(path, line, raw))
    if not names:
        raise DataError(path, "the first objects have no keys; copy or fetch it again", line=1)
    return list(names)


def json_blocks(
    path: Path, columns: Collection[str], size: int = BLOCK_BYTES
) -> Iterator[RawBlock]:
    """Read some keys of every object; a missing key, and null, count as an empty value.

    Args:
        path: the file, compressed or not.
        columns: the keys.
        size: bytes of text read at a time; memory stays within a few times this.

    Yields:
        Columns of text, or of lists of text if the block has lists there.

    Raises:
        DataError: as :func:`read_blocks`, or a line is not a JSON object or not UTF-8, repeats a
            key, or has an object, or a list beside other values, in one of `columns`.
    """
    listed: dict[str, bool] = {}
    with engine() as connection:
        for block in read_blocks(path, size):
            lines = block.lines()
            try:
                texts = pa.array(lines, pa.binary()).cast(pa.string())
            except pa.ArrowInvalid:
                for line, raw in enumerate(lines, block.first_line):
                    decode(path, line, raw)
                raise  # pragma: no cover: one of them is not UTF-8
            connection.register("lines", pa.table({"line": texts}))
            sound = connection.sql(f"select {_SOUND} from lines").to_arrow_table().column(0)
            if not pc.all(sound).as_py():
                row = pc.index(sound, False).as_py()
                _refuse(path, block.first_line + row, lines[row])
            places = [literal(_pointer(name)) for name in columns]
            types = [f"json_type(line, {place})" for place in places]
            kinds = connection.sql(f"select {', '.join(types)} from lines").to_arrow_table()
            wanted = []
            for name, place, kind in zip(columns, places, kinds.columns, strict=True):
                _check_types(path, block.first_line, name, kind, listed)
                text = f"json_extract(line, {place})::varchar[]"
                wanted.append(text if listed.get(name) else f"json_extract_string(line, {place})")
            found = connection.sql(f"select {', '.join(wanted)} from lines").to_arrow_table()
            numbers = np.arange(block.first_line, block.first_line + len(lines), dtype=np.int64)
            arrays = [column.combine_chunks() for column in found.columns]
            yield RawBlock(path, numbers, dict(zip(columns, arrays, strict=True)))


def _check_types(
    path: Path, first: int, name: str, kinds: pa.ChunkedArray, listed: dict[str, bool]
) -> None:
    """Refuse objects, and lists beside other values; remember in `listed` which a key has."""
    kinds = pc.fill_null(kinds, "NULL")
    lists = pc.equal(kinds, "ARRAY")
    others = pc.invert(pc.or_(lists, pc.equal(kinds, "NULL")))
    if pc.any(lists).as_py() or pc.any(others).as_py():
        listed.setdefault(name, pc.index(lists, True).as_py() >= 0)
    wrong = [(pc.equal(kinds, "OBJECT"), "a nested object is not a valid value")]
    if name in listed:
        what = "is not a list" if listed[name] else "is a list"
        wrong.append((others if listed[name] else lists, f"{what}, unlike in other lines"))
    for rows, problem in wrong:
        if pc.any(rows).as_py():
            line = first + pc.index(rows, True).as_py()
            raise DataError(path, f"{problem}; {MEND}", line=line, column=name)


def _refuse(path: Path, line: int, raw: bytes) -> None:
    """Raise :class:`DataError` for a line that is not sound."""
    found = parse(path, line, raw)
    for name, value in found.items():
        if not isinstance(value, str | int | float | list | dict | None):
            raise DataError(path, f"the key is given twice; {MEND}", line=line, column=name)
    text = shown(json.dumps(found))
    raise DataError(path, f"{text} has text that is not Unicode; {MEND}", line=line)


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")

"""The rows of a log that has lists: some of its rows, each exploded into what was shown.

Start with :class:`ListRows`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.interactions import Ints
from metaselector.data.own.list_schema import CHOSEN, LIST, POSITION, ListColumns
from metaselector.data.own.log_schema import LogSchema
from metaselector.data.raw.columns import RawBlock, checked, words
from metaselector.data.raw.lists import entries_of, is_listed
from metaselector.data.raw.values import shown

_PIECE = 2**14
"""Rows exploded at a time; each may become some tens of rows."""


class ListRows:
    """Selects rows by ``where``, and explodes lists; counts what it drops.

    Args:
        path: the log, for messages.
        schema: its schema.
    """

    def __init__(self, path: Path, schema: LogSchema) -> None:
        self._path, self._schema = path, schema
        self._lists = 0
        self._dropped: dict[str, tuple[int, str]] = {}

    def of(self, block: RawBlock) -> Iterator[RawBlock]:
        """Yield the rows of a block of the file, in its order.

        Raises:
            DataError: parallel columns of a list differ in length, or cannot be split.
        """
        for column, value in self._schema.where.items():
            found = checked(block, column, words)
            kept = pc.equal(found.dictionary, value).to_numpy(zero_copy_only=False)
            codes = found.indices.fill_null(len(kept)).to_numpy(zero_copy_only=False)
            block = _some(block, np.flatnonzero(np.append(kept, False)[codes]))
        given = self._schema.list
        if given is None or not given.explode:
            yield block
            return
        for start in range(0, len(block.lines), _PIECE):
            stop = min(start + _PIECE, len(block.lines))
            yield self._exploded(given, _some(block, np.arange(start, stop)))

    def check_any(self) -> None:
        """Raise :class:`DataError`: no row has the values of ``where``, if there are any."""
        wanted = " and ".join(f"{name} = {shown(v)}" for name, v in self._schema.where.items())
        if wanted:
            raise DataError(self._path, f"no row has {wanted} and a list; correct `where`")

    def sentences(self) -> Iterator[str]:
        """Yield what was dropped, one counted sentence each."""
        for problem, (count, first) in self._dropped.items():
            lists = "1 list was" if count == 1 else f"{count:,} lists were"
            yield f"{self._path}: {lists} dropped, as {problem} (first in {first})"

    def _exploded(self, given: ListColumns, block: RawBlock) -> RawBlock:
        item = self._schema.item
        found = {name: _entries(block, name, given.separator) for name in given.explode}
        entries, rows = found[item]
        size = np.bincount(rows, minlength=len(block.lines))
        for name, (_, theirs) in found.items():
            _check_sizes(block, name, np.bincount(theirs, minlength=len(size)), item, size)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(size) - size, size)
        self._drop(block, size == 0, f"column '{item}' is empty")
        columns = {
            name: column.take(pa.array(rows))
            for name, column in block.columns.items()
            if name not in found
        }
        columns |= {name: values for name, (values, _) in found.items()}
        columns[POSITION] = pa.array((place + 1).astype(str), pa.string())
        columns[LIST] = pa.array(self._lists + rows)
        self._lists += len(block.lines)
        if given.chosen is None:
            return RawBlock(block.path, block.lines[rows], columns)
        wanted = checked(block, given.chosen, words).dictionary_decode().take(pa.array(rows))
        hit = pc.equal(entries, wanted).fill_null(False).to_numpy(zero_copy_only=False)
        columns[CHOSEN] = pa.array(hit.astype(np.float64))
        missed = (np.bincount(rows, weights=hit, minlength=len(size)) == 0) & (size > 0)
        self._drop(block, missed, f"column '{given.chosen}' has nothing that was shown")
        made = RawBlock(block.path, block.lines[rows], columns)
        return _some(made, np.flatnonzero(~missed[rows]))

    def _drop(self, block: RawBlock, dropped: NDArray[np.bool_], problem: str) -> None:
        """Count rows of `block`."""
        if dropped.any():
            line = f"{block.path.name}:{block.lines[int(dropped.argmax())]}"
            before, first = self._dropped.get(problem, (0, line))
            self._dropped[problem] = before + int(dropped.sum()), first


def list_numbers(schema: LogSchema, block: RawBlock) -> Ints | None:
    """A number for the list of each row, int64 ``[n]``, which a user's other lists lack.

    None if the schema has no lists. Values of a column become 64-bit hashes, so that not all of
    them have to be kept in memory.

    Raises:
        DataError: a row has no list.
    """
    if schema.list is None:
        return None
    if schema.list.column is None:
        numbers: Ints = block.columns[LIST].to_numpy(zero_copy_only=False)
        return numbers
    found = checked(block, schema.list.column, words)
    texts = np.array(found.dictionary.to_pylist(), dtype=object)
    codes = found.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    missing = np.flatnonzero((codes < 0) | np.append(texts == "", True)[codes])
    if len(missing):
        problem = "is empty, but every row needs a list; fill it, or remove the row"
        line = int(block.lines[missing[0]])
        raise DataError(block.path, problem, line=line, column=schema.list.column)
    hashed: Ints = pd.util.hash_array(texts).view(np.int64)[codes]
    return hashed


def _some(block: RawBlock, rows: NDArray[np.int64]) -> RawBlock:
    columns = {name: column.take(pa.array(rows)) for name, column in block.columns.items()}
    return RawBlock(block.path, block.lines[rows], columns)


def _entries(block: RawBlock, name: str, separator: str) -> tuple[pa.Array, NDArray[np.int64]]:
    """The entries of all lists in a column, as text ``[m]``, and the row of each."""
    column = block.columns[name]
    if not is_listed(column.type):
        texts = checked(block, name, words).dictionary_decode()
        texts = pc.if_else(pc.equal(texts, ""), None, texts)
        column = pc.split_pattern(texts, separator)
    entries, rows = entries_of(column)
    found = RawBlock(block.path, block.lines[rows], {name: entries})
    return checked(found, name, words).dictionary_decode(), rows


def _check_sizes(
    block: RawBlock, name: str, sizes: NDArray[np.int64], item: str, wanted: NDArray[np.int64]
) -> None:
    wrong = np.flatnonzero(sizes != wanted)
    if len(wrong):
        row = int(wrong[0])
        problem = (
            f"has {sizes[row]} entries, but column '{item}' has {wanted[row]}; correct one, or "
            f"leave '{name}' out of list.explode"
        )
        raise DataError(block.path, problem, line=int(block.lines[row]), column=name)

"""Stage raw interactions on disk as fixed-size records, and read them back user by user.

Memory holds the distinct words, a counter for each user and item, and a few times
:data:`ROWS_AT_ONCE` rows, or the rows of a single user if they are more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.interactions import Interactions, InteractionTable, task_parents
from metaselector.data.preparation.codes import Codes
from metaselector.data.preparation.lists import together
from metaselector.data.preparation.prefetch import ahead
from metaselector.data.preparation.staging_types import LIST, Lines, StagedRows, staged_type

ROWS_AT_ONCE = 2**18
USERS_IN_FILE = 2**11
_PIECE = 2**13


@dataclass(frozen=True)
class Staged:
    """Raw interactions on disk.

    Attributes:
        directory: directory of record files, one for every :data:`USERS_IN_FILE` user codes, each
            in the order of the source.
        dtype: record type.
        users, items: names by code, in order of appearance; a tabular table has one empty item.
        words: distinct entries of each word feature of the table.
        user_rows, item_rows: int64, number of rows of each user and item.
        lines: maps a record to its line in the source.
    """

    directory: Path
    dtype: np.dtype[Any]
    users: list[str]
    items: list[str]
    words: list[list[str]]
    user_rows: NDArray[np.int64]
    item_rows: NDArray[np.int64]
    lines: Lines

    def __len__(self) -> int:
        return int(self.user_rows.sum())


def stage(table: InteractionTable, scratch: Path, label_threshold: float) -> Staged:
    """Read all of `table` and write it to the directory `scratch`.

    Args:
        table: the interaction table of a reader.
        scratch: an existing directory.
        label_threshold: threshold of tasks that set none.

    Raises:
        ConfigError: a task comes after one that is not listed before it.
        DataError: reading fails, there are no interactions, a row lacks the first label, or has a
            label although the task that it comes after is not positive.
    """
    coder = _Coder(table, label_threshold)
    for columns in ahead(coder.columns()):
        _write(scratch, columns, coder.dtype)
    if not coder.rows:
        raise DataError(table.source, "the file contains no interactions")
    return Staged(
        scratch,
        coder.dtype,
        coder.users.words,
        [""] if table.tabular else coder.items.words,
        [codes.words for codes in coder.words.values()],
        coder.user_rows,
        coder.item_rows,
        coder.lines,
    )


_Columns = Mapping[str, NDArray[Any] | list[NDArray[Any]]]
"""Columns of records by name; a list of columns for a field of several values."""


class _Coder:
    """Maps the words of a table to codes, and counts them."""

    def __init__(self, table: InteractionTable, label_threshold: float) -> None:
        self._table = table
        self._thresholds = [
            label_threshold if task.threshold is None else task.threshold for task in table.tasks
        ]
        self._numbers = [f.name for f in table.features if f.kind == "numeric"]
        self.words = {f.name: Codes() for f in table.features if f.kind != "numeric"}
        self.users, self.items, self.lines = Codes(), Codes(), Lines()
        self.user_rows = self.item_rows = np.zeros(0, dtype=np.int64)
        self.rows = 0
        self._parents = task_parents(table.tasks)
        self.dtype = staged_type(
            len(table.tasks), len(self.words), len(self._numbers), lists=table.lists
        )

    def columns(self) -> Iterator[_Columns]:
        """Yield the columns of all records, block by block."""
        for block in ahead(self._table.read()):
            n = len(block.timestamps)
            user = self.users.add(block.user)
            item = np.zeros(n, np.int32) if self._table.tabular else self.items.add(block.item)
            self.user_rows = _count(self.user_rows, user, len(self.users))
            self.item_rows = _count(self.item_rows, item, len(self.items))
            self.lines.add(self.rows, block.lines)
            yield {
                **self._list(block),
                "user": user,
                "item": item,
                "time": block.timestamps,
                "row": np.arange(self.rows, self.rows + n),
                "labels": list(self._labels(block).T),
                "words": [codes.add(block.features[name]) for name, codes in self.words.items()],
                "numbers": [
                    block.features[name].to_numpy(zero_copy_only=False) for name in self._numbers
                ],
            }
            self.rows += n

    def _list(self, block: Interactions) -> _Columns:
        if not self._table.lists:
            return {}
        if block.lists is None:
            raise DataError(self._table.source, "its rows have no lists, which the table promises")
        return {LIST: block.lists}

    def _labels(self, block: Interactions) -> NDArray[np.float32]:
        observed = ~np.isnan(block.labels)
        if self._table.negatives:
            observed[:, 0] = True
        missing = np.flatnonzero(~observed[:, 0])
        if len(missing):
            raise DataError(
                self._table.source,
                "the label is missing, and the first task needs one in every row; remove the row, "
                "or name another task first",
                line=int(block.lines[missing[0]]),
                column=self._table.tasks[0].name,
            )
        labels = (block.labels >= self._thresholds).astype(np.float32)
        labels[~observed] = np.nan
        if self._table.negatives:
            labels[:, 0] = 1
        self._check_order(block, labels)
        return labels

    def _check_order(self, block: Interactions, labels: NDArray[np.float32]) -> None:
        """Raise unless tasks are observed only where the task that they come after is positive."""
        tasks = self._table.tasks
        for place, parent in enumerate(self._parents or ()):
            wrong = np.flatnonzero(~np.isnan(labels[:, place]) & (labels[:, parent] != 1))
            if parent >= 0 and len(wrong):
                raise DataError(
                    self._table.source,
                    f"has a label, although task '{tasks[parent].name}', which must be positive "
                    "first, is not; leave it empty",
                    line=int(block.lines[wrong[0]]),
                    column=tasks[place].name,
                )


def _write(folder: Path, columns: _Columns, dtype: np.dtype[Any]) -> None:
    """Append records to their users' files, filled piece by piece to fit the CPU cache."""
    n = len(columns["user"])
    records = np.empty(n, dtype)
    for start in range(0, n, _PIECE):
        piece = slice(start, start + _PIECE)
        for name, column in columns.items():
            if isinstance(column, list):
                for place, values in enumerate(column):
                    records[name][piece, place] = values[piece]
            else:
                records[name][piece] = column[piece]
    if n:
        _append(folder, records, records["user"] // USERS_IN_FILE)


def whole_users(staged: Staged) -> Iterator[StagedRows]:
    """Yield blocks of whole users, sorted by (user code, time, position in the source).

    A list counts with the position of its first record.
    """
    waiting: list[StagedRows] = []
    for path in _files(staged):
        waiting.append(np.fromfile(path, staged.dtype))
        if sum(map(len, waiting)) >= ROWS_AT_ONCE:
            yield _sorted(waiting)
            waiting = []
    if waiting:
        yield _sorted(waiting)


def _files(staged: Staged) -> Iterator[Path]:
    """Yield record files in the order of users; large ones are split further by user."""
    for number, first in enumerate(range(0, len(staged.user_rows), USERS_IN_FILE)):
        path = staged.directory / str(number)
        rows = staged.user_rows[first : first + USERS_IN_FILE]
        # A few times as many rows still fit in memory, and splitting costs another pass.
        _, part = np.unique((np.cumsum(rows) - rows) // (4 * ROWS_AT_ONCE), return_inverse=True)
        if not part[-1]:
            yield path
            continue
        folder = staged.directory / f"{number}-parts"
        if not folder.exists():
            folder.mkdir()
            with path.open("rb") as file:
                while len(records := np.fromfile(file, staged.dtype, ROWS_AT_ONCE)):
                    _append(folder, records, part[records["user"] - first])
            path.unlink()
        yield from (folder / str(number) for number in range(part[-1] + 1))


def _append(folder: Path, records: StagedRows, part: NDArray[np.integer]) -> None:
    """Append records to the files of their parts, in order."""
    if part.min() < part.max():
        order = np.argsort(_narrow(part), kind="stable")
        records, part = taken(records, order), part[order]
    starts = np.flatnonzero(np.diff(part, prepend=-1))
    for start, stop in pairwise([*starts.tolist(), len(part)]):
        with (folder / str(part[start])).open("ab") as file:
            file.write(records[start:stop].data)


def _sorted(files: list[StagedRows]) -> StagedRows:
    """Sort records of consecutive users, each file being in the order of the source."""
    records = files[0] if len(files) == 1 else np.concatenate(files)
    by_time = np.argsort(records["time"], kind="stable")
    user = records["user"] - records["user"].min()
    by_user = np.argsort(_narrow(user)[by_time], kind="stable")
    records = taken(records, by_time[by_user])
    order = together(records)
    return records if order is None else taken(records, order)


def taken(records: StagedRows, order: NDArray[np.int64]) -> StagedRows:
    """``records[order]``, several times faster, because NumPy would copy field by field."""
    opaque = records.view(np.dtype((np.void, records.dtype.itemsize)))
    return opaque.take(order).view(records.dtype)


def _narrow(codes: NDArray[np.integer]) -> NDArray[Any]:
    """Cast to 16 bits if possible, which NumPy radix-sorts ten times faster."""
    return codes.astype(np.uint16) if codes.max() < 2**16 else codes


def _count(counts: NDArray[np.int64], codes: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    total = np.bincount(codes, minlength=size)
    total[: len(counts)] += counts
    return total

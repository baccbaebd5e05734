"""Stage raw interactions on disk as fixed-size records, and read them back user by user.

Memory holds the distinct words, a counter for each user and item, and a few times
:data:`ROWS_AT_ONCE` rows, or the rows of a single user if they are more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.ahead import ahead
from metaselector.data.interactions import InteractionTable
from metaselector.data.preparation.coder import Coder, Columns
from metaselector.data.preparation.lists import together
from metaselector.data.preparation.staging_types import Lines, StagedRows

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
        shuffled: whether the source is not in the order of the original log.
    """

    directory: Path
    dtype: np.dtype[Any]
    users: list[str]
    items: list[str]
    words: list[list[str]]
    user_rows: NDArray[np.int64]
    item_rows: NDArray[np.int64]
    lines: Lines
    shuffled: bool = False

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
    coder = Coder(table, label_threshold)
    for columns in ahead(coder.columns()):
        _write(scratch, columns, coder.dtype)
    if not coder.rows:
        raise DataError(table.source, "the file contains no interactions")
    staged = Staged(
        scratch,
        coder.dtype,
        coder.users.words,
        [""] if table.tabular else coder.items.words,
        [codes.words for codes in coder.words.values()],
        coder.user_rows,
        coder.item_rows,
        coder.lines,
    )
    return _renumbered(table, staged, coder.first_rows) if coder.first_rows else staged


def _write(folder: Path, columns: Columns, dtype: np.dtype[Any]) -> None:
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


def _renumbered(
    table: InteractionTable, staged: Staged, first_rows: Sequence[NDArray[np.int64]]
) -> Staged:
    """Code users, items and words in order of first occurrence in the original log.

    Raises:
        DataError: its rows are not numbered from 0 without gaps.
    """
    orders = [np.argsort(first) for first in first_rows]
    # Rank of each code, and -1 for a missing word.
    ranks = [np.append(np.argsort(order), -1).astype(np.int32) for order in orders]
    folder, n = staged.directory / "in-order", len(staged)
    folder.mkdir()
    seen = np.zeros(n, dtype=bool)
    for number in range(-(-len(staged.user_rows) // USERS_IN_FILE)):
        path = staged.directory / str(number)
        with path.open("rb") as file:
            while len(records := np.fromfile(file, staged.dtype, ROWS_AT_ONCE)):
                seen[records["row"][records["row"] < n]] = True
                for name, rank in zip(("user", "item"), ranks, strict=False):
                    records[name] = rank[records[name]]
                for place, rank in enumerate(ranks[2:]):
                    records["words"][:, place] = rank[records["words"][:, place]]
                _append(folder, records, records["user"] // USERS_IN_FILE)
        path.unlink()
    if not seen.all():
        problem = f"none of the {n:,} rows has number {int(seen.argmin())}, so another is too large"
        raise DataError(table.source, f"{problem} or occurs twice; number them 0, 1, 2 ...")
    users, items, *words = (
        [names[code] for code in order.tolist()]
        for names, order in zip((staged.users, staged.items, *staged.words), orders, strict=True)
    )
    lines = Lines()
    lines.add(0, np.arange(1, n + 1))
    return Staged(
        folder, staged.dtype, users, items, words, staged.user_rows[orders[0]],
        staged.item_rows[orders[1]], lines, shuffled=True,
    )  # fmt: skip


def whole_users(staged: Staged) -> Iterator[StagedRows]:
    """Yield blocks of whole users, sorted by (user code, time, position in the source).

    A list counts with the position of its first record.
    """
    return (read_users(staged, files) for files in files_of_users(staged))


def files_of_users(staged: Staged) -> Iterator[list[Path]]:
    """Yield the files of each block of :func:`whole_users`."""
    waiting, size = list[Path](), 0
    for path in _files(staged):
        waiting.append(path)
        size += path.stat().st_size
        if size >= ROWS_AT_ONCE * staged.dtype.itemsize:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def read_users(staged: Staged, files: Sequence[Path]) -> StagedRows:
    """Read and sort one block of :func:`whole_users`."""
    return _sorted([np.fromfile(path, staged.dtype) for path in files], staged.shuffled)


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


def _sorted(files: list[StagedRows], shuffled: bool) -> StagedRows:
    """Sort records of consecutive users; unless shuffled, files are in the order of the source."""
    records = files[0] if len(files) == 1 else np.concatenate(files)
    if shuffled:
        records = taken(records, np.argsort(records["row"], kind="stable"))
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

"""Candidates for users who name none: popular items that they have not met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from metaselector.common.errors import DataError
from metaselector.data.interactions import Interactions, Ints
from metaselector.data.preparation.codes import Codes, Tally
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_rows import interactions_of
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.raw.columns import RawBlock
from metaselector.data.raw.spill import chosen

POPULAR = Path("popular items")
"""Name of these candidates in messages."""


def popular_items(
    encoder: FittedEncoder,
    history: RawRows,
    items: int,
    groups: Iterable[RawRows] | None = None,
    keep: Callable[[Iterable[RawBlock]], Sequence[RawBlock]] = tuple,
) -> RawRows:
    """For each user of the history, the `items` most frequent items that they have no row with.

    A candidate's time is the last one of the history. Columns that describe items, that is, columns
    with one value per item, have the item's value; all others that of the user's last row.

    Args:
        encoder: encoder of the model's data set.
        history: labelled rows.
        items: maximum candidates per user.
        groups: the rows of the history, all rows of some users at a time, users in order of first
            occurrence; by default all at once.
        keep: takes the blocks as they are made, and holds them; by default in memory.

    Returns:
        candidates by user in order of first occurrence, then by frequency; a block for each group
        that has some.

    Raises:
        DataError: the data has no items, the history has no rows, or a value in it is wrong.
    """
    if encoder.rows.tabular:
        raise DataError(history.source, "this data has no items; pass --candidates")
    met = _Items(encoder, history)
    made = (met.candidates(group, items) for group in groups or (history,))
    return RawRows(POPULAR, met.names, keep(_numbered(made)))


class _Items:
    """What a history tells of its items; rows pass through memory, items stay."""

    def __init__(self, encoder: FittedEncoder, history: RawRows) -> None:
        self._encoder = encoder
        rows, tally, latest = encoder.rows, Tally(), _Latest()
        self._codes = Codes()
        self._user, self._time = rows.column("user"), rows.column("timestamp")
        described: dict[str, _OneValue] = {}
        newest = (-1, np.iinfo(np.int64).min)  # row and time
        first = 0
        for block, raw in zip(
            interactions_of(encoder, history, labelled=True), history.blocks, strict=True
        ):
            if not first:
                labels = {rows.column(task.name) for task in rows.tasks}
                self.names = tuple(name for name in raw.columns if name not in labels)
                others = {self._user, self._time, rows.column("item")}
                described = {name: _OneValue() for name in self.names if name not in others}
            things = self._codes.add(block.item).astype(np.int64)
            tally.add(things)
            latest.add(things, block.timestamps, first)
            for name, one in described.items():
                one.add(things, raw.columns[name])
            place = int(block.timestamps.argmax())
            if block.timestamps[place] > newest[1]:
                newest = (first + place, int(block.timestamps[place]))
            first += len(things)
        if not first:
            raise DataError(history.source, "has no rows; pass --candidates")
        # Of equally frequent items, the first one in the history.
        self._popular = np.argsort(-tally.counts(len(self._codes)), kind="stable").tolist()
        self._of_item = {rows.column("item"), *(n for n, one in described.items() if one.holds)}
        order = np.argsort(latest.rows)
        self._place = np.argsort(order)  # of each item in the values
        self._values = _columns(chosen(history.blocks, latest.rows[order]), self._of_item)
        self._now = _columns(chosen(history.blocks, np.array([newest[0]])), {self._time})

    def candidates(self, history: RawRows, items: int) -> dict[str, pa.Array]:
        """Columns of the candidates of the users of `history`, at most `items` each."""
        blocks = list(interactions_of(self._encoder, history, labelled=True))
        names = Codes()
        users = np.concatenate([names.add(block.user) for block in blocks])
        things = np.concatenate([self._codes.add(block.item) for block in blocks])
        user, item = self._unmet(users, things, len(names), items)
        of_user = _last_rows(users, blocks)[user]
        own = _columns(history.blocks, set(self.names) - self._of_item - {self._time})
        found = {}
        for name in self.names:
            if name == self._time:
                found[name] = self._now[name].take(pa.array(np.zeros(len(user), dtype=np.int64)))
            elif name in self._of_item:
                found[name] = self._values[name].take(pa.array(self._place[item]))
            else:
                found[name] = own[name].take(pa.array(of_user))
        return found

    def _unmet(self, users: Ints, items: Ints, n_users: int, wanted: int) -> tuple[Ints, Ints]:
        """User and item of each candidate."""
        met = pd.Series(items).groupby(users).agg(set)
        pairs = []
        for user in range(n_users):
            left = wanted
            for item in self._popular:
                if not left:
                    break
                if item not in met[user]:
                    pairs.append((user, item))
                    left -= 1
        found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]


class _Latest:
    """The latest row of each code; of several at one time the last.

    Attributes:
        rows: int64, by code.
    """

    def __init__(self) -> None:
        self.rows = self._times = np.zeros(0, dtype=np.int64)

    def add(self, codes: Ints, times: Ints, first: int) -> None:
        """Add rows from number `first` on: their codes, which may be new, and their times."""
        more = max(int(codes.max(initial=-1)) + 1 - len(self.rows), 0)
        self.rows = np.append(self.rows, np.full(more, -1))
        self._times = np.append(self._times, np.full(more, np.iinfo(np.int64).min))
        order = np.argsort(times, kind="stable")
        found = np.full(len(self.rows), -1)
        found[codes[order]] = order  # the last one stays
        seen = np.flatnonzero(found >= 0)
        seen = seen[times[found[seen]] >= self._times[seen]]
        self.rows[seen] = first + found[seen]
        self._times[seen] = times[found[seen]]


class _OneValue:
    """Whether all rows of each code have one value.

    Attributes:
        holds: the answer so far.
    """

    def __init__(self) -> None:
        self.holds = True
        self._value: dict[int, str] = {}

    def add(self, codes: Ints, values: pa.Array) -> None:
        """Add rows."""
        if self.holds:
            cells = np.array([str(value) for value in values.to_pylist()], dtype=object)
            pairs = pd.DataFrame({"code": codes, "value": cells}).drop_duplicates()
            found = zip(pairs["code"].tolist(), pairs["value"].tolist(), strict=True)
            self.holds = all(self._value.setdefault(code, one) == one for code, one in found)


def _last_rows(users: Ints, blocks: Sequence[Interactions]) -> Ints:
    latest = _Latest()
    latest.add(users, np.concatenate([block.timestamps for block in blocks]), 0)
    return latest.rows


def _columns(blocks: Sequence[RawBlock], names: Iterable[str]) -> dict[str, pa.Array]:
    """The columns called `names` of all blocks."""
    found = {}
    for name in names:
        values = pa.chunked_array([pa.array(block.columns[name]) for block in blocks])
        found[name] = values.unify_dictionaries().combine_chunks()
    return found


def _numbered(parts: Iterable[dict[str, pa.Array]]) -> Iterator[RawBlock]:
    """Blocks of the parts that have rows, which are counted from 1."""
    first = 1
    for columns in parts:
        n = len(next(iter(columns.values())))
        if n:
            yield RawBlock(POPULAR, np.arange(first, first + n), columns)
            first += n

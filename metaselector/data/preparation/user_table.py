"""Whose row each given row is, on disk, for files with more users than memory should hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
import pyarrow as pa

from metaselector.data.interactions import Ints
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.preparation.unknown import SHOWN, FirstFew, Unknown
from metaselector.data.raw.columns import checked, keys
from metaselector.data.raw.engine import engine

_BATCH = 2**17
_FIRST = (
    "(select user, min(place) as first from rows where place >= $1 and place < $2 group by user)"
)
"""The users of some places, and where each first occurs."""


class UserTable:
    """The users of the rows of a history and of candidates.

    A row's place is its position in the history, or, for candidates, behind it. DuckDB counts and
    sorts users; what exceeds its memory goes to temporary files.

    Attributes:
        sizes: number of rows of the history, then of the candidates, as far as they were added.
    """

    def __init__(self, encoder: FittedEncoder) -> None:
        self._encoder = encoder
        self._column = encoder.rows.column("user")
        self._connection = engine()
        self._connection.execute("create table rows (user varchar, place bigint)")
        self.sizes: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, part: int, given: RawRows) -> None:
        """Add the rows of a part (0: the history, then 1: the candidates), unless they are there.

        Raises:
            DataError: a user is missing or has a wrong type.
        """
        if len(self.sizes) > part:
            return
        place = start = sum(self.sizes)
        for block in given.blocks:
            names = checked(block, self._column, keys).cast(pa.string())
            places = np.arange(place, place + len(names))
            self._connection.register("block", pa.table({"user": names, "place": places}))
            self._connection.execute("insert into rows select user, place from block")
            place += len(names)
        self.sizes.append(place - start)

    def unknown(self, part: int) -> Unknown:
        """The users of a part that the model does not know."""
        known = self._encoder.vocabularies["user"]
        self._connection.register("known", pa.table({"user": pa.array(known, pa.string())}))
        strangers = f"{_FIRST} anti join known using (user)"
        return Unknown(
            self._column,
            "users",
            self._count(_FIRST, part),
            self._few(strangers, part),
            True,
            known,
        )

    def few(self, part: int) -> FirstFew:
        """The users of a part."""
        return self._few(_FIRST, part)

    @property
    def apart(self) -> bool:
        """Whether there are users of both parts, but none is in both."""
        history, candidates = self.sizes
        both = "select 1 from rows group by user having min(place) < $1 and max(place) >= $1"
        return bool(
            history
            and candidates
            and not self._connection.execute(f"{both} limit 1", [history]).fetchall()
        )

    def groups(self, users: int, rows: int) -> Iterator[tuple[Ints, ...]]:
        """Yield the rows of some users at a time, users in order of their first row.

        Args:
            users: most users of a group.
            rows: with how many rows a group needs no more users.

        Yields:
            for each part, rising positions of rows in it, int64 ``[n]``.
        """
        starts = np.cumsum([0, *self.sizes])
        for places in map(np.sort, self._groups(users, rows)):
            parts = np.split(places, np.searchsorted(places, starts[1:-1]))
            yield tuple(part - start for part, start in zip(parts, starts, strict=False))

    def _groups(self, users: int, rows: int) -> Iterator[Ints]:
        query = f"select place, first from rows join {_FIRST} using (user) order by first, place"
        place = first = np.zeros(0, dtype=np.int64)
        with self._connection.cursor() as cursor:
            found = cursor.sql(query, params=[0, sum(self.sizes)])
            for batch in found.to_arrow_reader(_BATCH):
                place = np.append(place, batch.column("place").to_numpy())
                first = np.append(first, batch.column("first").to_numpy())
                ends = np.flatnonzero(np.diff(first)) + 1  # of users that are complete
                begin = user = 0
                while True:
                    last = min(user + users - 1, int(np.searchsorted(ends, begin + rows)))
                    if last >= len(ends):
                        break
                    yield place[begin : ends[last]]
                    begin, user = int(ends[last]), last + 1
                place, first = place[begin:], first[begin:]
        if len(place):
            yield place

    def _few(self, of: str, part: int) -> FirstFew:
        query = f"select user from {of} order by first limit {SHOWN + 1}"
        found = self._connection.execute(query, self._places(part)).fetchall()
        return FirstFew([name for (name,) in found], self._count(of, part))

    def _count(self, of: str, part: int) -> int:
        query = f"select count(*) from {of}"
        ((count,),) = self._connection.execute(query, self._places(part)).fetchall()
        return int(count)

    def _places(self, part: int) -> list[int]:
        start, stop = np.cumsum([0, *self.sizes])[part : part + 2].tolist()
        return [start, stop]

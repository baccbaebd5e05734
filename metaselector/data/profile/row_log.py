"""User, item, time and labels of every row: a table of them in DuckDB, and the queries on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.data.interactions import Ints
from metaselector.data.raw.engine import engine

PART_ROWS = 2**21
"""Maximum rows returned at once, unless one user has more."""
_SHARING = """
WITH kept AS MATERIALIZED (  -- of rows that repeat one another, the first
    SELECT "user", item, time, min(row) AS row FROM log GROUP BY "user", item, time
),
moments AS MATERIALIZED (
    SELECT "user", time, count(*) AS n FROM kept GROUP BY "user", time
),
seconds AS (  -- rounded down, also before 1970
    SELECT sum(n) AS n FROM moments
    GROUP BY "user", (CASE WHEN time < 0 THEN time - 999999 ELSE time END) // 1000000
),
users AS (
    SELECT max(n) AS longest, sum(n) AS n, sum(n) FILTER (n > 1) AS tied
    FROM moments GROUP BY "user"
),
in_order AS (
    SELECT row < lag(row) OVER (PARTITION BY "user" ORDER BY time, row) AS early FROM kept
)
SELECT
    (SELECT count(*) FROM (SELECT DISTINCT "user", item FROM kept)),
    (SELECT count(*) FROM log) - (SELECT count(*) FROM kept),
    (SELECT coalesce(sum(tied), 0) FROM users),
    (SELECT coalesce(sum(n) FILTER (n > 1), 0) FROM seconds),
    (SELECT count(*) FILTER (early) FROM in_order),
    (SELECT count(*) FROM users WHERE longest >= 2 AND 2 * longest > n)
"""


class Sharing(NamedTuple):
    """What :meth:`RowLog.sharing` counts.

    Attributes:
        pairs: distinct user-item pairs.
        repeats: rows that repeat user, item and time of an earlier one.
        tied, early: see :class:`~metaselector.data.time_order.TimeOrder`.
        same_second: rows in the same second as another row of their user; `tied` or more.
        users_at_one_time: users with at least two rows, more than half of which share one time.
    """

    pairs: int
    repeats: int
    tied: int
    same_second: int
    early: int
    users_at_one_time: int


class RowLog:
    """User, item, time and labels of every row; what does not fit into memory is on disk.

    Args:
        labels: number of labels (T).
    """

    def __init__(self, labels: int = 0) -> None:
        self._labels = [f"label{place}" for place in range(labels)]
        columns = ['"user" INTEGER', "item INTEGER", "time BIGINT", "row BIGINT"]
        columns += [f"{label} TINYINT" for label in self._labels]
        self._database = engine(one_thread=False)
        self._database.execute(f"CREATE TABLE log ({', '.join(columns)})")
        self._rows = 0
        self._order = ""  # rows keep the order in which they are added

    def add(
        self,
        user: NDArray[np.int32],
        item: NDArray[np.int32],
        time: Ints,
        rows: Ints | None = None,
        outcomes: NDArray[np.int8] | None = None,
    ) -> None:
        """Store a block: user codes, item codes, times and places in the log, ``[n]`` each.

        Without `rows`, blocks are in the order of the log. `outcomes` ``[n, T]`` are needed if
        there are labels: see :func:`~metaselector.data.profile.labels.outcomes`.
        """
        if rows is None:
            rows = np.arange(self._rows, self._rows + len(user))
        else:
            self._order = "ORDER BY row"
        columns = {"user": user, "item": item, "time": time, "row": rows}
        if outcomes is not None:
            columns |= dict(zip(self._labels, outcomes.T, strict=True))
        self._database.register("block", pa.table(columns))
        self._database.execute("INSERT INTO log FROM block")
        self._rows += len(user)

    def times(self) -> Ints:
        """The time of every row, int64 ``[n]``."""
        times: Ints = self._arrays(f"SELECT time FROM log {self._order}")["time"]
        return times

    def sharing(self) -> Sharing:
        """Count rows that share user, item or time."""
        counts = self._database.execute(_SHARING).fetchone()
        assert counts is not None  # it always has one row
        return Sharing(*map(int, counts))

    def distinct_rows(self, n_users: int) -> Ints:
        """Count the rows of each user that differ in item or time, int64 ``[n_users]``."""
        return self._distinct("user, item, time", n_users)

    def distinct_times(self, n_users: int) -> Ints:
        """Count the times at which each user has rows, int64 ``[n_users]``."""
        return self._distinct("user, time", n_users)

    def occurring(
        self, rows: NDArray[np.bool_], n_users: int, n_items: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Mark the users ``[n_users]`` and items ``[n_items]`` of the `rows` marked in ``[n]``."""
        found = self._arrays(f'SELECT "user", item FROM log {self._order}')
        users, items = np.zeros(n_users, dtype=bool), np.zeros(max(n_items, 1), dtype=bool)
        users[found["user"][rows]] = True
        items[found["item"][rows]] = True
        return users, items[:n_items]

    def of_users(
        self, rows_per_user: Ints, part_rows: int = PART_ROWS
    ) -> Iterator[tuple[int, int, Ints, NDArray[np.int32], Ints, Ints]]:
        """Yield the rows of consecutive users, a group at a time, in the order of the log.

        Yields:
            The first user, the user after the last, and for each of their rows: the user, counted
            from the first, the item, the time and the place in the log.
        """
        for low, high in _ranges(rows_per_user, part_rows):
            found = self._arrays(
                'SELECT ("user" - ?)::BIGINT AS "user", item, time, row FROM log '
                f'WHERE "user" >= ? AND "user" < ? {self._order}',
                [low, low, high],
            )
            yield low, high, found["user"], found["item"], found["time"], found["row"]

    def outcomes(
        self, part_rows: int = PART_ROWS
    ) -> Iterator[tuple[NDArray[np.int32], Ints, list[NDArray[np.int8]]]]:
        """Yield rows in parts, in any order: user, place in the log, and outcome of each label."""
        columns = ", ".join(['"user"', "row", *self._labels])
        found = self._database.sql(f"SELECT {columns} FROM log")
        for batch in found.to_arrow_reader(part_rows):
            user, row, *outcomes = (column.to_numpy() for column in batch.columns)
            yield user, row, outcomes

    def _distinct(self, columns: str, n_users: int) -> Ints:
        query = (
            f"SELECT user, count(*) AS n FROM (SELECT DISTINCT {columns} FROM log) GROUP BY user"
        )
        found = self._arrays(query.replace("user", '"user"'))
        counts = np.zeros(n_users, dtype=np.int64)
        counts[found["user"]] = found["n"]
        return counts

    def _arrays(self, query: str, given: list[int] | None = None) -> dict[str, NDArray[Any]]:
        found = self._database.execute(query, given or []).fetchnumpy()
        return {name: np.asarray(values) for name, values in found.items()}


def _ranges(rows_per_user: Ints, part_rows: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of users, low to before high, of at most `part_rows` rows or one user."""
    ends = np.cumsum(rows_per_user)
    low = 0
    while low < len(ends):
        before = ends[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(ends, before + part_rows, side="right")))
        yield low, high
        low = high

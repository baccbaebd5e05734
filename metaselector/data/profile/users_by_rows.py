"""How many users have enough rows to adapt on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metaselector.data.interactions import Ints

ROWS = (1, 5, 10, 20, 40)
"""Numbers of rows that users are counted by."""


@dataclass(frozen=True)
class AtLeast:
    """Users with at least some number of rows.

    Attributes:
        rows: the number of rows.
        users: users with at least as many.
        share: their share of the users counted, 0 to 1; None if there are none.
    """

    rows: int
    users: int
    share: float | None


@dataclass(frozen=True)
class UsersByRows:
    """Users by their number of rows, repeated rows excluded.

    Attributes:
        counted: ``before_test``: rows before the test window, of users with rows in it; or
            ``in_all``: all rows of all users, where whole users are held out for the test.
        users: the users counted.
        at_least: how many of them have at least each of :data:`ROWS`.
    """

    counted: Literal["before_test", "in_all"]
    users: int
    at_least: tuple[AtLeast, ...]


def users_by_rows(before: Ints, test: Ints, *, whole_users: bool) -> UsersByRows:
    """Count users with enough rows.

    Args:
        before: int64 ``[U]``, rows of each user before the test window.
        test: int64 ``[U]``, rows of each user in the test window.
        whole_users: whether users are split rather than the rows of each user. A test user then
            has no row before the test, and adapts on the first of the test rows.

    Example:
        >>> import numpy as np
        >>> found = users_by_rows(np.array([7, 0, 9]), np.array([1, 2, 0]), whole_users=False)
        >>> found.users, found.at_least[1]
        (2, AtLeast(rows=5, users=1, share=0.5))
    """
    rows = before + test
    rows = rows[rows > 0] if whole_users else before[test > 0]
    counts = [int((rows >= least).sum()) for least in ROWS]
    return UsersByRows(
        "in_all" if whole_users else "before_test",
        len(rows),
        tuple(
            AtLeast(least, count, count / len(rows) if len(rows) else None)
            for least, count in zip(ROWS, counts, strict=True)
        ),
    )

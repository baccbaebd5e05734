"""Leave out users with few rows, as preparation does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.interactions import Interactions, InteractionTable
from metaselector.data.preparation.codes import Codes, Tally
from metaselector.data.profile.row_log import RowLog


@dataclass(frozen=True)
class LeftOut:
    """Users with fewer rows than `min_user_rows`, and their rows, repeats included."""

    min_user_rows: int
    users: int
    rows: int


def long_users(table: InteractionTable, min_user_rows: int) -> tuple[InteractionTable, LeftOut]:
    """Leave out users with fewer rows than `min_user_rows`; repeated rows count once.

    Args:
        table: the table, read completely.
        min_user_rows: as the setting ``data.min_user_rows``.

    Returns:
        The table of the other users' rows, and what was left out.

    Raises:
        DataError: reading fails, or no user has enough rows.
    """
    users, items, log, tally = Codes(), Codes(), RowLog(), Tally()
    for block in table.read():
        user = users.add(block.user)
        item = np.zeros(len(user), np.int32) if table.tabular else items.add(block.item)
        tally.add(user)
        log.add(user, item, block.timestamps)
    rows = tally.counts(len(users))
    enough = log.distinct_rows(rows) >= min_user_rows
    if len(rows) and not enough.any():
        problem = f"no user has {min_user_rows:,} rows or more; set data.min_user_rows lower"
        raise DataError(table.source, problem)
    left_out = LeftOut(min_user_rows, int((~enough).sum()), int(rows[~enough].sum()))

    def read() -> Iterator[Interactions]:
        codes = Codes()
        for block in table.read():
            yield _only(block, enough[codes.add(block.user)])

    return replace(table, read=read), left_out


def _only(block: Interactions, kept: NDArray[np.bool_]) -> Interactions:
    return Interactions(
        block.user.filter(kept),
        block.item.filter(kept),
        block.labels[kept],
        block.timestamps[kept],
        block.lines[kept],
        {name: column.filter(kept) for name, column in block.features.items()},
    )

"""Leave out users with few rows, as preparation does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.interactions import Interactions, InteractionTable
from metaselector.data.preparation.cleaning import wanted
from metaselector.data.preparation.codes import Codes, Tally
from metaselector.data.profile.row_log import RowLog


@dataclass(frozen=True)
class LeftOut:
    """Users with too few rows or lists, and their rows, repeats included."""

    min_user_rows: int
    users: int
    rows: int
    min_user_lists: int = 1

    @property
    def wanted(self) -> str:
        """What the others have, in words, and the settings."""
        texts, settings = wanted(self.min_user_rows, self.min_user_lists)
        return f"{texts}, with {self.rows:,} rows ({settings})"


def long_users(
    table: InteractionTable, min_user_rows: int, min_user_lists: int = 1
) -> tuple[InteractionTable, LeftOut]:
    """Leave out users with too few rows or lists; repeated rows count once.

    Args:
        table: the table, read completely.
        min_user_rows: as the setting ``data.min_user_rows``.
        min_user_lists: as the setting ``data.min_user_lists``; lists of one user and time count as
            one.

    Returns:
        The table of the other users' rows, and what was left out.

    Raises:
        DataError: reading fails, no user has enough rows or lists, or there are no lists.
    """
    if min_user_lists > 1 and not table.lists:
        raise DataError(table.source, "has no lists; set data.min_user_lists=1")
    users, items, log, tally = Codes(), Codes(), RowLog(), Tally()
    for block in table.read():
        user = users.add(block.user)
        item = np.zeros(len(user), np.int32) if table.tabular else items.add(block.item)
        tally.add(user)
        log.add(user, item, block.timestamps)
    rows = tally.counts(len(users))
    enough = log.distinct_rows(len(rows)) >= min_user_rows
    if min_user_lists > 1:
        enough &= log.distinct_times(len(rows)) >= min_user_lists
    if len(rows) and not enough.any():
        texts, settings = wanted(min_user_rows, min_user_lists)
        raise DataError(table.source, f"no user has {texts} or more; set {settings} lower")
    dropped = int((~enough).sum()), int(rows[~enough].sum())
    left_out = LeftOut(min_user_rows, *dropped, min_user_lists)

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

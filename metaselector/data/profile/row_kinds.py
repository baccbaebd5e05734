"""Find the rows of *train*, *valid* and *test* before preparation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaselector.data.preparation.cleaning import repeats
from metaselector.data.preparation.parts import Parts
from metaselector.data.preparation.statistics import user_offsets
from metaselector.data.profile.row_log import RowLog
from metaselector.data.splitting.windows import boundaries

DROPPED, TRAIN, VALID, TEST = 0, 1, 2, 3
"""Rows that preparation drops, and rows of each window, or of the users of each part."""
_RECORD = np.dtype([("user", np.int32), ("item", np.int32), ("time", np.int64), ("row", np.int64)])


def row_kinds(
    log: RowLog,
    rows_per_user: NDArray[np.int64],
    parts: Parts,
    sampled: int = 0,
    *,
    lists: bool = False,
) -> NDArray[np.uint8]:
    """Classify each row as :data:`DROPPED`, :data:`TRAIN`, :data:`VALID` or :data:`TEST`.

    Args:
        log: all rows.
        rows_per_user: int64 ``[n_users]``.
        parts: how rows, or users, are split.
        sampled: negatives added per row, which count in windows. If a user's negatives run out, a
            row next to the end of a window may be misclassified.
        lists: whether rows belong to lists. Those of one user and time count as one, which is exact
            unless a user has two lists of the same time.

    Returns:
        uint8 ``[n]``, in the order of the file.
    """
    kinds = np.full(int(rows_per_user.sum()), DROPPED, dtype=np.uint8)
    for low, _, user, item, time, row in log.of_users(rows_per_user):
        order = np.lexsort((time, user))  # stable: equals stay in the order of the file
        records = np.empty(len(order), _RECORD)
        columns: dict[str, NDArray[Any]]
        columns = {"user": user + low, "item": item, "time": time, "row": row}
        for name, column in columns.items():
            records[name] = column[order]
        records = records[~repeats(records)]
        if parts.dates is None:  # otherwise users with a single row, or list, are kept
            offsets = user_offsets(records)
            of_list = np.cumsum(_starts(records)) if lists else np.arange(len(records))
            several = of_list[offsets[1:] - 1] > of_list[offsets[:-1]]
            records = records[np.repeat(several, np.diff(offsets))]
        offsets = user_offsets(records)
        starts = np.append(np.flatnonzero(_starts(records)), len(records)) if lists else None
        place, found = np.arange(len(records)) * (1 + sampled), np.full(len(records), TRAIN)
        for end in ("train", "valid"):
            if parts.splits_ranks:
                percent = getattr(parts.windows, end)
                ends = boundaries(offsets * (1 + sampled), percent, None, starts)
            else:
                ends = parts.ends(records, offsets, end) * (1 + sampled)
            found += place >= np.repeat(ends, np.diff(offsets))
        kinds[records["row"]] = found
    return kinds


def _starts(records: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark the first record of each user and time."""
    starts = np.ones(len(records), dtype=bool)
    user, time = records["user"], records["time"]
    starts[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    return starts

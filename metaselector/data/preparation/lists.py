"""Lists of staged records: rows of a user that were shown together, at one time.

Records that belong to lists have a column :data:`LIST`, which differs between the lists of a user.
Without it, each record counts as a list of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.interactions import Ints
from metaselector.data.preparation.staging_types import LIST, StagedRows


def has_lists(records: StagedRows) -> bool:
    """Whether records belong to lists."""
    return LIST in (records.dtype.names or ())


def list_starts(records: StagedRows) -> NDArray[np.bool_]:
    """Mark the first record of each list, bool ``[n]``; they are sorted as by :func:`together`."""
    starts = np.ones(len(records), dtype=bool)
    if has_lists(records):
        starts[1:] = False
        for name in ("user", "time", LIST):
            starts[1:] |= records[name][1:] != records[name][:-1]
    return starts


def list_offsets(records: StagedRows) -> Ints | None:
    """Start of each list, and the number of records, int64 ``[L + 1]``; None without lists."""
    if not has_lists(records):
        return None
    return np.append(np.flatnonzero(list_starts(records)), len(records)).astype(np.int64)


def together(records: StagedRows) -> Ints | None:
    """Order that puts the records of a list next to each other, int64 ``[n]``; None if they are.

    Args:
        records: sorted by (user, time, position in the source). Lists of one user and time stay in
            the order of their first records.
    """
    if not has_lists(records):
        return None
    keys = [records[name] for name in ("row", LIST, "time", "user")]
    order = np.lexsort(keys)
    starts = list_starts(records[order])
    if starts.sum() == list_starts(records).sum():
        return None
    first = np.empty(len(records), dtype=np.int64)
    first[order] = records["row"][order][starts][np.cumsum(starts) - 1]
    return np.lexsort([records["row"], first, records["time"], records["user"]])


def check_times(source: Path, records: StagedRows, line: Callable[[int], int]) -> None:
    """Raise :class:`DataError` if a list has rows of more than one time.

    Args:
        source: the file, for the message.
        records: all records of some users.
        line: maps a position in the source to its line.
    """
    order = np.lexsort([records["row"], records[LIST], records["user"]])
    found = records[order]
    same = (found["user"][1:] == found["user"][:-1]) & (found[LIST][1:] == found[LIST][:-1])
    other = np.flatnonzero(same & (found["time"][1:] != found["time"][:-1]))
    if len(other):
        late, before = (int(found["row"][place]) for place in (other[0] + 1, other[0]))
        raise DataError(
            source,
            f"has another time than line {line(before)}, which belongs to the same list; give all "
            "rows of a list the time at which it was shown",
            line=line(late),
        )


def repeated_lists(records: StagedRows) -> NDArray[np.bool_]:
    """Mark the records of lists that repeat user, time and all items of an earlier list."""
    offsets = list_offsets(records)
    if offsets is None or not len(records):
        return np.zeros(len(records), dtype=bool)
    size = np.diff(offsets)
    # The sum of a hash does not depend on the order of the items.
    mixed = (records["item"].astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    items = np.add.reduceat(mixed ^ (mixed >> np.uint64(32)), offsets[:-1])
    first = records[offsets[:-1]]
    keys = [size, items, first["time"], first["user"]]
    order = np.lexsort(keys)  # stable: among equals, the first list stays in front
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    repeated = np.zeros(len(size), dtype=bool)
    repeated[order[1:][same]] = True
    return np.repeat(repeated, size)

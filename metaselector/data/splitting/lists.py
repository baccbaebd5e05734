"""Lists of rows that were shown together, which no window, support set or query cuts.

``list_offsets``, int64 ``[L + 1]``, holds the position of each list's first row, and last the
number of rows. It is None if rows belong to no lists.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def list_start(
    list_offsets: NDArray[np.int64] | None, positions: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Start of the list that each position lies in; the positions themselves without lists.

    Example:
        >>> list_start(np.array([0, 5, 10]), np.array([4, 5, 10])).tolist()
        [0, 5, 10]
    """
    if list_offsets is None:
        return positions
    return list_offsets[np.searchsorted(list_offsets, positions, side="right") - 1]


def next_list_start(
    list_offsets: NDArray[np.int64] | None, positions: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The first start of a list that is not before each position; without lists the position.

    Example:
        >>> next_list_start(np.array([0, 5, 10]), np.array([4, 5, 6])).tolist()
        [5, 5, 10]
    """
    if list_offsets is None:
        return positions
    return list_offsets[np.searchsorted(list_offsets, positions, side="left")]


def whole_lists(
    support: NDArray[np.int64], list_offsets: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Leave out the rows of a list whose first rows are not in the support set.

    Args:
        support: int64 ``[U, S]``, oldest first, -1 for padding.
        list_offsets: None changes nothing.

    Example:
        >>> whole_lists(np.array([[-1, 3, 4, 5]]), np.array([0, 2, 4, 6])).tolist()
        [[-1, -1, 4, 5]]
    """
    if list_offsets is None:
        return support
    rows = np.where(support >= 0, support, list_offsets[-1])
    oldest = rows.min(axis=1, keepdims=True, initial=list_offsets[-1])
    return np.where(rows >= next_list_start(list_offsets, oldest), support, -1)


def first_lists(
    cut: NDArray[np.int64],
    stop: NDArray[np.int64],
    size: int,
    list_offsets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """End of the first lists in ``[cut, stop)`` with at most `size` rows, but at least one list.

    Args:
        cut, stop: int64 ``[U]``, starts of lists.
        size: number of rows.
        list_offsets: int64 ``[L + 1]``.

    Example:
        >>> first_lists(np.array([0, 4]), np.array([6, 6]), 3, np.array([0, 1, 2, 4, 8])).tolist()
        [2, 6]
    """
    fitting = list_start(list_offsets, np.minimum(cut + size, stop))
    return np.maximum(fitting, np.minimum(next_list_start(list_offsets, cut + 1), stop))


def some_lists(
    rows: NDArray[np.int64], keys: NDArray[np.float64], size: int, list_offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Draw lists of each user until `size` rows are full, but at least one list.

    Args:
        rows: int64 ``[U, Q]``, whole lists, ascending, -1 for padding at the end.
        keys: float64 ``[U, Q]``, random numbers, inf for padding; lists are drawn in the order of
            those of their first rows.
        size: number of rows.
        list_offsets: int64 ``[L + 1]``.

    Returns:
        int64 ``[U, W]``, ascending, -1 for padding at the end.

    Example:
        >>> rows, keys = np.array([[0, 1, 2, 3]]), np.array([[0.9, 0.1, 0.2, 0.3]])
        >>> some_lists(rows, keys, 3, np.array([0, 2, 3, 4])).tolist()  # the second and third list
        [[2, 3]]
    """
    place = np.arange(rows.shape[1])
    start = list_start(list_offsets, np.maximum(rows, 0)) - rows + place  # column of its first row
    of_list = np.take_along_axis(keys, np.where(rows >= 0, start, place), axis=1)
    order = np.argsort(of_list, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    later = np.take_along_axis(of_list, order, axis=1)
    last = np.ones(rows.shape, dtype=bool)
    last[:, :-1] = later[:, 1:] != later[:, :-1]
    # Column after the last row of each row's list, as lists lie next to each other.
    end = np.where(last, place + 1, rows.shape[1])
    end = np.minimum.accumulate(end[:, ::-1], axis=1)[:, ::-1]
    kept = (ordered >= 0) & ((end <= size) | (end == end[:, :1]))
    width = max(int(kept.sum(axis=1).max(initial=0)), 1)
    found = np.sort(np.where(kept, ordered, np.iinfo(np.int64).max), axis=1)[:, :width]
    return np.where(found == np.iinfo(np.int64).max, -1, found)

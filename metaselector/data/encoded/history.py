"""Histories: a user's positives before each of their rows, without looking ahead.

Positives are rows that are positive in the first task, whatever it is: in a funnel that starts with
*watched*, the items watched. Labels of later tasks do not enter histories.

The history of a row is a view into the user's list of positives: those with a strictly earlier
timestamp. For rows of the test window it also ends where that window starts, so that no features
reveal a label of the test window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import Ints

RESOLUTION = 2**36
"""Finer than float32 resolves, while int64 can still sum 100 million rows."""


def history_sizes(
    user_offsets: Ints, timestamps: Ints, positive: NDArray[np.bool_], frozen_from: Ints
) -> Ints:
    """Number of its user's positives that each row may see.

    Args:
        user_offsets: int64 ``[U + 1]``; user u owns rows ``offsets[u]:offsets[u + 1]``.
        timestamps: int64 ``[N]``, not descending within a user.
        positive: bool ``[N]``.
        frozen_from: int64 ``[U]``, start of each user's test window, where histories of its rows
            end.

    Returns:
        int64 ``[N]``; a row's history is this many of its user's positives, from the oldest on.
    """
    n = len(timestamps)
    users = np.repeat(np.arange(len(user_offsets) - 1), np.diff(user_offsets))
    before = np.concatenate([[0], np.cumsum(positive)]).astype(
        np.int64
    )  # positives before a position
    # Start of the run of rows with the same user and timestamp: equal times do not count.
    new_run = np.ones(n, dtype=bool)
    new_run[1:] = (timestamps[1:] != timestamps[:-1]) | (users[1:] != users[:-1])
    run_start = np.maximum.accumulate(np.where(new_run, np.arange(n), 0))
    # A run across the window's start begins before it, so the minimum is strictly earlier.
    visible = np.minimum(run_start, frozen_from[users])
    sizes: Ints = before[visible] - before[user_offsets[:-1]][users]
    return sizes


def latest(offset: Ints, size: NDArray[np.integer], length: int) -> Ints:
    """Positions, in the list of all users' positives, of the latest ones in each history.

    Args:
        offset: int64 ``[n]``, start of the positives of each row's user.
        size: int64 ``[n]``, from :func:`history_sizes`.
        length: maximum positives per history.

    Returns:
        int64 ``[n, length]``, newest first; -1 is padding.
    """
    back = np.arange(length)
    found: Ints = np.where(back < size[:, None], (offset + size - 1)[:, None] - back, -1)
    return found


def times_shown(offset: Ints, size: Ints, length: int, positives: int) -> Ints:
    """Number of the given rows in which each positive is one of the :func:`latest`.

    Args:
        offset, size, length: see :func:`latest`.
        positives: number of positives of all users (P).

    Returns:
        int64 ``[P]``.
    """
    stop = offset + size
    start = np.maximum(offset, stop - length)
    steps = np.bincount(start, minlength=positives + 1) - np.bincount(stop, minlength=positives + 1)
    shown: Ints = np.cumsum(steps)[:-1]
    return shown


def running_means(offsets: Ints, features: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mean of the first k positives of each user, for every k.

    Sums are in integer multiples of ``1 / RESOLUTION``, because rounding errors in a running sum
    would make a mean depend on other users' rows.

    Args:
        offsets: int64 ``[U + 1]``; user u has the positives ``offsets[u]:offsets[u + 1]``.
        features: float64 ``[P, G]``, shares of every positive, 0 to 1.

    Returns:
        float32 ``[P + U, G]``; row ``offsets[u] + u + k`` is the mean for user u and k, 0 if
        k = 0.
    """
    total = np.zeros((len(features) + 1, features.shape[1]), dtype=np.int64)
    np.cumsum(np.rint(features * RESOLUTION).astype(np.int64), axis=0, out=total[1:])
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets) + 1)  # [P + U]
    stop, start = np.arange(len(user)) - user, offsets[:-1][user]
    count = np.maximum(stop - start, 1)[:, None]
    means: NDArray[np.float32] = ((total[stop] - total[start]) / (count * RESOLUTION)).astype(
        np.float32
    )
    return means

"""What a user had liked before each of their rows, without ever looking ahead.

*Liked* are the items of rows that are positive in the first task, whatever its name: of a funnel
that starts with *watched*, what was watched. Labels of later tasks are in no history.

The history of a row is a view into the user's list of positives: its first ones, as many as have a
strictly earlier timestamp. For rows of the test window it also stops where that window starts, so
that no row's features reveal a label of the test window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import Ints

RESOLUTION = 2**36
"""Far below what float32 resolves, and int64 still sums 100 million rows."""


def history_sizes(
    user_offsets: Ints, timestamps: Ints, positive: NDArray[np.bool_], frozen_from: Ints
) -> Ints:
    """How many of their user's positives the rows may see.

    Args:
        user_offsets: int64 ``[U + 1]``; user u owns rows ``offsets[u]:offsets[u + 1]``.
        timestamps: int64 ``[N]``, not descending within a user.
        positive: bool ``[N]``.
        frozen_from: int64 ``[U]``, position where the user's test window starts; histories of its
            rows end there.

    Returns:
        int64 ``[N]``: the row's history is that many of its user's positives, oldest first.
    """
    n = len(timestamps)
    users = np.repeat(np.arange(len(user_offsets) - 1), np.diff(user_offsets))
    before = np.concatenate([[0], np.cumsum(positive)]).astype(
        np.int64
    )  # positives before a position
    # First position of the run of rows with the same user and timestamp: equal times do not count.
    new_run = np.ones(n, dtype=bool)
    new_run[1:] = (timestamps[1:] != timestamps[:-1]) | (users[1:] != users[:-1])
    run_start = np.maximum.accumulate(np.where(new_run, np.arange(n), 0))
    # A run that straddles the window's start begins before it: the minimum is strictly earlier.
    visible = np.minimum(run_start, frozen_from[users])
    sizes: Ints = before[visible] - before[user_offsets[:-1]][users]
    return sizes


def latest(offset: Ints, size: NDArray[np.integer], length: int) -> Ints:
    """Where in the list of all users' positives the latest ones of histories stand.

    Args:
        offset: int64 ``[n]``, where the positives of each row's user begin.
        size: int64 ``[n]``, as from :func:`history_sizes`.
        length: at most this many.

    Returns:
        int64 ``[n, length]``, newest first; -1 where there are fewer.
    """
    back = np.arange(length)
    found: Ints = np.where(back < size[:, None], (offset + size - 1)[:, None] - back, -1)
    return found


def times_shown(offset: Ints, size: Ints, length: int, positives: int) -> Ints:
    """In how many of the given rows each positive is one of the :func:`latest`.

    Args:
        offset, size, length: as in :func:`latest`.
        positives: how many there are of all users (P).

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

    They are summed in whole multiples of ``1 / RESOLUTION``, because rounding in the running sum
    would carry other users' rows into a mean.

    Args:
        offsets: int64 ``[U + 1]``; user u has the positives ``offsets[u]:offsets[u + 1]``.
        features: shares, 0 to 1, of every positive: float64 ``[P, G]``.

    Returns:
        float32 ``[P + U, G]``; that of user u and k is in row ``offsets[u] + u + k``, 0 for k = 0.
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

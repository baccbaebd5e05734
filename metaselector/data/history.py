"""What a user had liked before each of their rows, without ever looking ahead.

The history of a row is a view into the user's list of positives: the positives with a strictly
earlier timestamp. For rows of the test window it also stops where that window starts, so that no
row's features reveal a label of the test window.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
RESOLUTION = 2**36
"""Far below what float32 resolves, and int64 still sums 100 million rows."""


class Histories(NamedTuple):
    """For every row, a half-open range of `positives`.

    Attributes:
        positives: int64 ``[P]``, positions of the positive rows, users in order, oldest first.
        start: int64 ``[N]``, where the user's positives begin.
        stop: int64 ``[N]``, where the row's history ends; ``stop >= start``.
    """

    positives: Ints
    start: Ints
    stop: Ints

    def latest(self, n: int) -> Ints:
        """The last `n` positives before each row, newest first: ``[N, n]``, -1 where none."""
        index = self.stop[:, None] - 1 - np.arange(n)  # [N, n]
        inside = index >= self.start[:, None]
        if not len(self.positives):
            return np.full(index.shape, -1, dtype=np.int64)
        return np.where(inside, self.positives[np.where(inside, index, 0)], -1)

    def mean(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of the `features` ``[N, G]`` of the rows in each history: ``[N, G]``, 0 where empty.

        `features` are shares, 0 to 1. They are summed in whole multiples of ``1 / RESOLUTION``,
        because rounding in the running sum would carry other users' rows, and later ones, into a
        mean.
        """
        total = np.zeros((len(self.positives) + 1, features.shape[1]), dtype=np.int64)
        shares = np.rint(features[self.positives] * RESOLUTION).astype(np.int64)
        np.cumsum(shares, axis=0, out=total[1:])
        count = np.maximum(self.stop - self.start, 1)[:, None]
        mean: NDArray[np.float64] = (total[self.stop] - total[self.start]) / (count * RESOLUTION)
        return mean


def histories(
    user_offsets: Ints, timestamps: Ints, positive: NDArray[np.bool_], frozen_from: Ints
) -> Histories:
    """Find every row's history.

    Args:
        user_offsets: int64 ``[n_users + 1]``; rows are sorted by (user, timestamp).
        timestamps: int64 ``[N]``.
        positive: bool ``[N]``, the label.
        frozen_from: int64 ``[n_users]``, position of each user's first test row; histories of later
            rows end there.
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
    return Histories(np.flatnonzero(positive), before[user_offsets[:-1]][users], before[visible])

"""Blocks in which a user's rows are predicted and then learned, one after the other."""

from __future__ import annotations

import numpy as np

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints

FIRST_BLOCKS = (0, 1, 2, 3, 5, 10, 20)
"""Numbers of earlier rows at which a new user's first blocks start."""
LATER_BLOCK = 20
"""Rows of each further block."""


def block_starts(first: Ints, stop: Ints, tie_starts: Ints) -> tuple[Ints, Ints]:
    """Cut each user's rows into blocks, so that predictions of one never need its own labels.

    Blocks start after 0, 1, 2, 3, 5, 10 and 20 rows, then every :data:`LATER_BLOCK` rows. A start
    among rows of the same time moves to the first of them; starts that coincide are one.

    Args:
        first, stop: int64 ``[U]``, positions of each user's first row and of the row after the
            last, which is later.
        tie_starts: int64 ``[N]``, from :func:`tie_starts`.

    Returns:
        Index of the user among the U and position of the first row of each block, int64 ``[B]``
        each, both ascending by user, then by time.

    Example:
        >>> rows = np.arange(60)
        >>> users, starts = block_starts(np.array([0, 4]), np.array([4, 60]), rows)
        >>> users.tolist(), starts.tolist()
        ([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5, 6, 7, 9, 14, 24, 44])
    """
    longest = int((stop - first).max(initial=0))
    later = np.arange(FIRST_BLOCKS[-1] + LATER_BLOCK, longest, LATER_BLOCK)
    after = np.concatenate([FIRST_BLOCKS, later])
    # As many starts as each user needs, instead of a matrix as wide as the longest user.
    counts = after.searchsorted(stop - first)
    user = np.repeat(np.arange(len(first)), counts)
    rank = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    start = tie_starts[first[user] + after[rank]]
    kept = np.ones(len(user), dtype=bool)
    kept[1:] = start[1:] != start[:-1]  # rows of two users never coincide
    return user[kept], start[kept]


def tie_starts(dataset: EncodedDataset) -> Ints:
    """Position of the first row of the same user and time, int64 ``[N]``.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> tie_starts(planted_world(1, 2, 4, np.random.default_rng(0)).dataset).tolist()
        [0, 1, 2, 3]
    """
    starts = np.ones(len(dataset), dtype=bool)
    starts[1:] = np.diff(dataset.timestamps) != 0
    starts[dataset.user_offsets[:-1]] = True
    return np.maximum.accumulate(np.where(starts, np.arange(len(dataset)), 0))

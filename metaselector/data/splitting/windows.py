"""Chronological windows of each user's rows, and the random order of users.

A user's rows are ordered by (timestamp, original row order). A window is a range of ranks in whole
percent, so that boundaries are exact integers: ``floor(n * percent / 100)``. A boundary inside a
list of rows that were shown together moves to the start of the list, so the list lies behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.data.interactions import Ints
from metaselector.data.splitting.lists import list_start


class Windows(NamedTuple):
    """Ends of the windows, in percent of a user's rows (warm) or of the users (cold).

    Example:
        >>> Windows(early=50)
        Windows(early=50, train=80, valid=90)
    """

    early: int = 60
    """End of the window that the early base models are trained on."""
    train: int = 80
    """End of *train*."""
    valid: int = 90
    """End of *valid*; the rest is *test*."""


DEFAULT_WINDOWS = Windows()


def boundaries(
    user_offsets: NDArray[np.int64],
    percent: int,
    users: NDArray[np.int64] | None = None,
    list_offsets: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """End of each user's first `percent` of rows, as positions in the sorted rows.

    Args:
        user_offsets: int64 ``[n_users + 1]``; user u owns rows ``offsets[u]:offsets[u + 1]``.
        percent: 0 to 100.
        users: int64 ``[U]``, all by default.
        list_offsets: int64 ``[L + 1]``, start of each list, which no boundary cuts, and the number
            of rows; None if each row stands alone.

    Returns:
        int64 ``[U]`` positions.

    Example:
        >>> boundaries(np.array([0, 10, 30]), 80).tolist()
        [8, 26]
        >>> lists = np.array([0, 5, 10, 26, 30])
        >>> boundaries(np.array([0, 10, 30]), 80, list_offsets=lists).tolist()
        [5, 26]
    """
    if users is None:
        first, stop = user_offsets[:-1], user_offsets[1:]
    else:
        first, stop = user_offsets[users], user_offsets[users + 1]
    return list_start(list_offsets, first + (stop - first) * percent // 100)


def window_rows(
    user_offsets: NDArray[np.int64],
    start: int,
    stop: int,
    list_offsets: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Positions of the rows between `start` and `stop` percent of every user, ascending.

    Arguments are those of :func:`boundaries`.

    Example:
        >>> window_rows(np.array([0, 10, 30]), 80, 90).tolist()
        [8, 26, 27]
    """
    position = np.arange(user_offsets[-1])
    counts = np.diff(user_offsets)
    low = np.repeat(boundaries(user_offsets, start, None, list_offsets), counts)
    high = np.repeat(boundaries(user_offsets, stop, None, list_offsets), counts)
    return position[(position >= low) & (position < high)]


def rows_of(user_offsets: NDArray[np.int64], users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of all rows of the given users, ascending.

    Example:
        >>> rows_of(np.array([0, 2, 5]), np.array([1])).tolist()
        [2, 3, 4]
    """
    chosen = np.zeros(len(user_offsets) - 1, dtype=bool)
    chosen[users] = True
    return np.flatnonzero(np.repeat(chosen, np.diff(user_offsets)))


def user_places(names: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Position of each user in a random order of all users, in percent.

    It is a hash (SipHash) of the name alone: a user keeps its position when others are added or
    removed, and shares of users are met only approximately.

    Args:
        names: user names.
        seed: random seed, 0 to 10**16 - 1.

    Returns:
        float64 ``[U]``, from 0 to below 100.
    """
    return (_hashed(names, seed) >> np.uint64(11)).astype(np.float64) * (100 / 2**53)


def row_draws(
    names: Sequence[str], user_offsets: NDArray[np.int64], seed: int, options: int
) -> NDArray[np.int64]:
    """Draw one of `options` numbers for each row, evenly.

    A draw depends on the seed, the user's name and the rank of the row among the user's rows, and
    on no other user or row: the hash of the name and the rank go through the finalizer of
    SplitMix64 (G. Steele, D. Lea and C. Flood, "Fast splittable pseudorandom number generators",
    2014).

    Args:
        names: user names.
        user_offsets: int64 ``[U + 1]``; user u owns rows ``offsets[u]:offsets[u + 1]``.
        seed: random seed, 0 to 10**16 - 1.
        options: number of options, 1 to 2**31.

    Returns:
        int64 ``[N]``, from 0 to below `options`.

    Example:
        >>> row_draws(["ann", "bob"], np.array([0, 3, 5]), 0, 4)[3:].tolist()
        [1, 0]
        >>> row_draws(["bob"], np.array([0, 2]), 0, 4).tolist()
        [1, 0]
    """
    counts = np.diff(user_offsets)
    rank = np.arange(user_offsets[-1]) - np.repeat(user_offsets[:-1], counts)
    mixed = np.repeat(_hashed(names, seed), counts)
    mixed += (rank + 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return ((mixed >> np.uint64(33)) * np.uint64(options) >> np.uint64(31)).astype(np.int64)


def _hashed(names: Sequence[str], seed: int) -> NDArray[np.uint64]:
    return pd.util.hash_array(np.array(names, dtype=object), hash_key=f"{seed:016d}")


def parts_of(cut: Ints, stop: Ints, most: int) -> tuple[Ints, Ints]:
    """Divide rows ``[cut, stop)`` of U users into parts of at most `most` rows.

    Returns:
        int64 ``[P]``: whose each part is, from 0 to U - 1, and its first row.

    Example:
        >>> owner, start = parts_of(np.array([0, 10]), np.array([5, 11]), most=2)
        >>> owner.tolist(), start.tolist()
        ([0, 0, 0, 1], [0, 2, 4, 10])
    """
    parts = -(-(stop - cut) // most)
    owner = np.repeat(np.arange(len(cut)), parts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(parts) - parts, parts)
    return owner, cut[owner] + number * most

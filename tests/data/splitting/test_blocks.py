"""Blocks cover a user's rows in order, and none needs its own labels."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.splitting.blocks import block_starts, tie_starts

from .test_episodes import MakeDataset

gaps = st.lists(st.integers(0, 2), min_size=0, max_size=90)
"""Times between a user's rows, many of them 0."""


def test_blocks_by_hand() -> None:
    every = np.arange(100)
    users, starts = block_starts(np.array([0, 1]), np.array([1, 100]), every)
    assert users.tolist() == [0, *[1] * 10]
    assert (starts[1:] - 1).tolist() == [0, 1, 2, 3, 5, 10, 20, 40, 60, 80]


def test_a_block_starts_with_the_first_row_of_its_time() -> None:
    """Rows 1 to 4 share a time, and so do 6 to 10."""
    ties = np.array([0, 1, 1, 1, 1, 5, 6, 6, 6, 6, 6, 11])
    users, starts = block_starts(np.array([0]), np.array([12]), ties)
    assert users.tolist() == [0, 0, 0, 0]
    assert starts.tolist() == [0, 1, 5, 6]


def test_no_users() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert [len(part) for part in block_starts(nothing, nothing, nothing)] == [0, 0]


@given(st.lists(gaps, min_size=1, max_size=4))
def test_blocks_partition_rows_and_split_no_time(
    make_dataset: MakeDataset, users: list[list[int]]
) -> None:
    dataset = make_dataset([len(rows) + 1 for rows in users])
    times = np.concatenate([np.cumsum([7, *rows]) for rows in users])
    ties = tie_starts(replace(dataset, timestamps=times))
    first, stop = dataset.user_offsets[:-1], dataset.user_offsets[1:]
    owner, starts = block_starts(first, stop, ties)
    for user in range(len(users)):
        mine = starts[owner == user].tolist()
        assert mine[0] == first[user]
        for start, end in pairwise([*mine, stop[user]]):
            assert start < end
            if start > first[user]:
                assert times[start - 1] < times[start]
        obvious = [0, 1, 2, 3, 5, 10, *range(20, 200, 20)]
        wanted = [first[user] + n for n in obvious if first[user] + n < stop[user]]
        slow = [
            next(i for i in range(w, -1, -1) if i == first[user] or times[i] > times[i - 1])
            for w in wanted
        ]
        assert mine == sorted(set(slow))

"""Rows that share user, item or time, counted one by one."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metaselector.data.profile.row_log import RowLog, Sharing

codes = st.integers(0, 3)
microseconds = st.sampled_from([-1_000_000, -400_000, 0, 900_000, 1_000_000])
rows_of_log = st.lists(st.tuples(codes, codes, microseconds), min_size=1, max_size=12)


def row_log(rows: list[tuple[int, int, int]], shuffle: random.Random) -> RowLog:
    """A log of these rows in blocks, given in another order with their places.

    The outcome of its label is the item, less one.
    """
    log, places = RowLog(labels=1), list(range(len(rows)))
    shuffle.shuffle(places)
    for part in np.array_split(np.array(places), 3):
        user, item, when = np.array(rows)[part].reshape(-1, 3).T
        codes, outcomes = (user.astype(np.int32), item.astype(np.int32)), item.astype(np.int8) - 1
        log.add(*codes, when, part, outcomes[:, None])
    return log


@settings(max_examples=25)
@given(rows=rows_of_log, shuffle=st.randoms())
def test_counted_one_by_one(rows: list[tuple[int, int, int]], shuffle: random.Random) -> None:
    log, kept = row_log(rows, shuffle), list(dict.fromkeys(rows))
    moments = Counter((user, when) for user, _, when in kept)
    seconds = Counter((user, when // 1_000_000) for user, _, when in kept)
    early = 0
    for user in range(4):
        mine = [row for row in kept if row[0] == user]
        in_order = [kept.index(row) for row in sorted(mine, key=lambda row: row[2])]
        early += sum(b < a for a, b in pairwise(in_order))
    of_user = Counter(user for user, _, _ in kept)
    expected = Sharing(
        pairs=len({row[:2] for row in rows}),
        repeats=len(rows) - len(kept),
        tied=sum(n for n in moments.values() if n > 1),
        same_second=sum(n for n in seconds.values() if n > 1),
        early=early,
        users_at_one_time=len(
            {user for (user, _), n in moments.items() if n > 1 and 2 * n > of_user[user]}
        ),
    )
    assert log.sharing() == expected
    assert log.times().tolist() == [when for _, _, when in rows]
    assert log.distinct_rows(4).tolist() == [of_user[user] for user in range(4)]
    assert log.distinct_times(4).tolist() == [
        sum(u == user for u, _ in moments) for user in range(4)
    ]
    marked = np.arange(len(rows)) % 2 == 0
    users, items = log.occurring(marked, 4, 4)
    assert set(np.flatnonzero(users)) == {user for user, _, _ in rows[::2]}
    assert set(np.flatnonzero(items)) == {item for _, item, _ in rows[::2]}


@settings(max_examples=25)
@given(rows=rows_of_log, part_rows=st.integers(1, 5), shuffle=st.randoms())
def test_parts_are_whole_users_in_order(
    rows: list[tuple[int, int, int]], part_rows: int, shuffle: random.Random
) -> None:
    per_user = np.bincount([user for user, _, _ in rows], minlength=4)
    found, last = {}, 0
    for low, high, user, item, when, row in row_log(rows, shuffle).of_users(per_user, part_rows):
        assert low == last
        assert np.array_equal(np.bincount(user, minlength=high - low), per_user[low:high])
        assert (np.diff(row) > 0).all()
        found |= {r: (u + low, i, w) for r, u, i, w in zip(row, user, item, when, strict=True)}
        last = high
    assert last == 4
    assert [found[place] for place in range(len(rows))] == rows


@settings(max_examples=25)
@given(rows=rows_of_log, part_rows=st.integers(1, 5), shuffle=st.randoms())
def test_every_row_has_its_outcome(
    rows: list[tuple[int, int, int]], part_rows: int, shuffle: random.Random
) -> None:
    found = {}
    for user, row, (outcome,) in row_log(rows, shuffle).outcomes(part_rows):
        assert outcome.dtype == np.int8
        found |= {r: (u, o) for u, r, o in zip(user, row, outcome, strict=True)}
    assert found == {place: (user, item - 1) for place, (user, item, _) in enumerate(rows)}

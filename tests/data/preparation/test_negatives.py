"""Sampled negatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.interactions import Negatives, Sampling
from metaselector.data.preparation.negatives import NegativeSampler
from metaselector.data.preparation.staging_types import StagedRows, staged_type

ITEMS = 6


def log_of(pairs: list[tuple[int, int]]) -> StagedRows:
    """Positives of users and items, one a second."""
    records = np.zeros(len(pairs), staged_type(1, 1, 1))
    records["labels"] = 1
    for i, (user, item) in enumerate(sorted(pairs, key=lambda pair: pair[0])):
        records["user"][i], records["item"][i] = user, item
        records["time"][i], records["row"][i], records["words"][i] = 100 + i, i, 7 + i
    return records


def sampled(records: StagedRows, settings: Negatives) -> tuple[StagedRows, NegativeSampler]:
    item_rows = np.bincount(records["item"], minlength=ITEMS)
    sampler = NegativeSampler(settings, item_rows)
    return sampler.add(records), sampler


pairs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, ITEMS - 1)), min_size=1, max_size=10)


@given(pairs, st.integers(1, 3), st.sampled_from(["uniform", "popularity"]), st.integers(0, 3))
def test_never_an_item_of_the_user_and_never_twice_for_a_positive(
    pairs: list[tuple[int, int]], n: int, sampling: Sampling, seed: int
) -> None:
    records = log_of(pairs)
    # Every item occurs somewhere, so that items without rows cannot be drawn by popularity.
    everything = log_of([*pairs, *((3, item) for item in range(ITEMS))])
    found, sampler = sampled(everything, Negatives(n, sampling, seed))
    expected_short = 0
    for positive in records:
        mine = set(everything["item"][everything["user"] == positive["user"]].tolist())
        expected_short += max(0, n - (ITEMS - len(mine)))
        negatives = found[(found["time"] == positive["time"]) & (found["labels"][:, 0] == 0)]
        assert len(negatives) == min(n, ITEMS - len(mine))
        items = negatives["item"].tolist()
        assert len(set(items)) == len(items)
        assert not set(items) & mine
        assert (negatives["words"] == positive["words"]).all()
        assert (negatives["user"] == positive["user"]).all()
    assert sampler.short == expected_short + n * ITEMS  # the last user has seen every item
    assert len(set(found["row"].tolist())) == len(found)
    kept = found[found["labels"][:, 0] == 1]
    assert np.array_equal(kept, everything)


def test_negatives_follow_their_positive() -> None:
    found, _ = sampled(log_of([(0, 0), (0, 1), (1, 2)]), Negatives(2))
    assert found["labels"][:, 0].tolist() == [1, 0, 0] * 3
    assert found["time"].tolist() == [100] * 3 + [101] * 3 + [102] * 3


@pytest.mark.parametrize(("sampling", "share"), [("uniform", 1 / 2), ("popularity", 9 / 10)])
def test_items_are_drawn_as_asked(sampling: Sampling, share: float) -> None:
    """Of the two items that user 0 has not seen, item 1 has nine rows and item 2 one."""
    log = log_of([(0, 0)] * 3000 + [(1, 1)] * 9 + [(1, 2)])
    found, _ = sampled(log, Negatives(1, sampling))
    drawn = found["item"][(found["user"] == 0) & (found["labels"][:, 0] == 0)]
    # Items 3 to 5 have no rows: uniform draws them too.
    counts = np.bincount(drawn, minlength=ITEMS)[1:3]
    assert counts[0] / counts.sum() == pytest.approx(share, abs=0.05)


@given(pairs, st.integers(1, 3), st.sampled_from(["uniform", "popularity"]), st.integers(0, 3))
def test_once_for_a_user(
    pairs: list[tuple[int, int]], n: int, sampling: Sampling, seed: int
) -> None:
    log = log_of([*pairs, *((3, item) for item in range(ITEMS))])
    found, sampler = sampled(log, Negatives(n, sampling, seed, once=True))
    assert np.array_equal(found[found["labels"][:, 0] == 1], log)
    expected_short = 0
    for user in range(4):
        mine = log[log["user"] == user]
        left = set(range(ITEMS)) - set(mine["item"].tolist())
        negatives = found[(found["user"] == user) & (found["labels"][:, 0] == 0)]
        assert len(set(negatives["item"].tolist())) == len(negatives)
        assert set(negatives["item"].tolist()) <= left
        assert len(negatives) == min(n * len(mine), len(left))
        expected_short += n * len(mine) - len(negatives)
    assert sampler.short == expected_short


@pytest.mark.parametrize(("sampling", "share"), [("uniform", 1 / 2), ("popularity", 9 / 10)])
def test_items_drawn_once_are_drawn_as_asked(sampling: Sampling, share: float) -> None:
    """As above, of 3,000 users that have seen item 0."""
    users = range(2, 3002)
    log = log_of([*((user, 0) for user in users), *[(1, 1)] * 9, (1, 2)])
    found, _ = sampled(log, Negatives(1, sampling, once=True))
    drawn = found["item"][(found["user"] >= 2) & (found["labels"][:, 0] == 0)]
    counts = np.bincount(drawn, minlength=ITEMS)[1:3]
    assert counts[0] / counts.sum() == pytest.approx(share, abs=0.02)


def test_popular_items_are_not_dealt_out_first() -> None:
    """Users who need both of the items left have the popular one first half of the time."""
    users = range(2, 2002)
    log = log_of([(user, item) for user in users for item in (0, 3)] + [(1, 1)] * 99 + [(1, 2)])
    found, _ = sampled(log, Negatives(1, "popularity", once=True))
    drawn = found["item"][(found["user"] >= 2) & (found["labels"][:, 0] == 0)].reshape(-1, 2)
    assert (np.sort(drawn, axis=1) == [1, 2]).all()
    assert (drawn[:, 0] == 1).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("once", [False, True])
def test_later_tasks_keep_the_labels_of_the_log(once: bool) -> None:
    log = np.zeros(3, staged_type(3, 1, 1))
    log["item"], log["row"] = range(3), range(3)
    log["labels"] = [[1, 0, np.nan], [1, 1, 1], [1, np.nan, 0]]
    found, _ = sampled(log, Negatives(1, once=once))
    assert np.array_equal(found["labels"][::2], log["labels"], equal_nan=True)
    assert np.array_equal(found["labels"][1::2], [[0, np.nan, np.nan]] * 3, equal_nan=True)


@pytest.mark.parametrize("once", [False, True])
def test_the_seed_decides(once: bool) -> None:
    log = log_of([(user, user) for user in range(5)])
    first, again, other = (
        sampled(log, Negatives(3, seed=seed, once=once))[0] for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)

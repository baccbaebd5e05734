"""No window, support set or query cuts a list, under any protocol."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from metaselector.config import Config, load_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.episodes import EpisodeRows, rows_around
from metaselector.data.splitting.lists import list_start, next_list_start, some_lists, whole_lists
from metaselector.data.splitting.protocol import WINDOWS, EvaluationProtocol, with_recent_support
from metaselector.data.splitting.windows import boundaries

from ..conftest import dataset_of

SIZES = st.lists(st.lists(st.integers(1, 6), min_size=7, max_size=9), min_size=12, max_size=16)
"""Rows of each list, by user."""
PROTOCOLS = ("warm", "cold", "global")


def world(sizes: list[list[int]]) -> EncodedDataset:
    """A data set with a list every second."""
    dataset = dataset_of([sum(lists) for lists in sizes])
    flat = [size for lists in sizes for size in lists]
    seconds = np.concatenate([np.arange(len(lists)) for lists in sizes])
    return replace(
        dataset,
        timestamps=np.repeat(seconds, flat) * 1_000_000,
        list_offsets=np.cumsum([0, *flat]),
        schema=dataset.schema.model_copy(
            update={"lists": True, "dates": (2_000_000, 3_000_000, 4_000_000)}
        ),
    )


def protocol_of(name: str, dataset: EncodedDataset) -> EvaluationProtocol:
    config: Config = load_config(
        changes={
            "protocol": name,
            "adapt": {"support_size": 7, "support_sizes": [1, 4]},
            "meta_train": {"query_size": 5},
            "cold": {"support_sizes": [2, 6], "early": 40, "train": 60, "valid": 80},
        }
    )
    return make_protocol(dataset, config)


def is_whole(rows: NDArray[np.int64], dataset: EncodedDataset) -> bool:
    """Whether rows, -1 for padding, are whole lists."""
    assert dataset.list_offsets is not None
    mine = set(rows[rows >= 0].tolist())
    offsets = dataset.list_offsets.tolist()
    lists = [set(range(a, b)) for a, b in pairwise(offsets)]
    return all(one <= mine or not one & mine for one in lists)


@pytest.mark.parametrize("name", PROTOCOLS)
@given(sizes=SIZES, seed=st.integers(0, 9))
def test_lists_are_never_cut(name: str, sizes: list[list[int]], seed: int) -> None:
    dataset = world(sizes)
    protocol = protocol_of(name, dataset)
    for window in WINDOWS:
        assert is_whole(protocol.fitting_rows(window), dataset)
    assert is_whole(protocol.stopping_rows(), dataset)
    learners = np.unique(protocol.learners)
    found = [protocol.sample(learners, np.random.default_rng(seed))]
    for split in protocol.evaluation_splits:
        found += [split.valid, split.test]
        found += [with_recent_support(split.test, n) for n in (0, 1, 3, 5)]
    for episodes in found:
        widest = episodes.support.shape[1]
        for support, query in zip(episodes.support, episodes.query, strict=True):
            assert is_whole(support, dataset)
            assert is_whole(query, dataset)
            assert (support >= 0).sum() <= widest
            assert (query >= 0).any()
            assert support.max(initial=-1) < query[query >= 0].min()
            assert np.diff(query[query >= 0]).min(initial=1) > 0


@given(sizes=SIZES)
def test_every_user_has_a_list_in_the_test_window(sizes: list[list[int]]) -> None:
    dataset = world(sizes)
    test = protocol_of("warm", dataset).evaluation_splits[0].test
    assert test.users.tolist() == list(range(len(sizes)))
    last = dataset.user_offsets[1:] - [lists[-1] for lists in sizes]
    assert (test.query[:, 0] <= last).all()


@given(sizes=SIZES, percent=st.integers(0, 100))
def test_a_border_moves_to_the_start_of_its_list(sizes: list[list[int]], percent: int) -> None:
    dataset = world(sizes)
    found = boundaries(dataset.user_offsets, percent, None, dataset.list_offsets)
    for first, lists, border in zip(dataset.user_offsets, sizes, found, strict=False):
        starts = np.cumsum([0, *lists])
        slow = max(start for start in starts if start <= sum(lists) * percent // 100)
        assert border == first + slow


def test_the_latest_list_may_not_fit() -> None:
    dataset = world([[2, 3, 4, 1]])
    users, zero = np.array([0]), np.array([0])

    def support(size: int) -> list[int]:
        made = rows_around(
            users, zero, np.array([9]), np.array([10]), size, None, dataset.list_offsets
        )
        return [row for row in made.support[0].tolist() if row >= 0]

    assert support(3) == []  # the latest list has 4 rows
    assert support(4) == support(6) == [5, 6, 7, 8]
    assert support(7) == [2, 3, 4, 5, 6, 7, 8]
    assert support(99) == list(range(9))


def test_a_query_has_at_least_one_list() -> None:
    lists = np.array([0, 4, 5, 6])
    for size, expected in ((1, 4), (4, 4), (5, 5), (9, 6)):
        made = rows_around(
            np.array([0]), np.array([0]), np.array([0]), np.array([6]), 1, size, lists
        )
        assert made.query[0].tolist() == list(range(expected))


def test_random_supports_have_whole_lists() -> None:
    rows = EpisodeRows(
        np.array([0]), np.array([[0, 1, 2, 3]]), np.array([[4]]), list_offsets=np.array([0, 2, 4])
    )
    assert [rows.most_recent(n).support.tolist() for n in (1, 3, 4)] == [
        [[-1]], [[-1, 2, 3]], [[0, 1, 2, 3]],
    ]  # fmt: skip


def test_without_lists_nothing_changes() -> None:
    rows = np.array([[-1, 3, 4]])
    assert whole_lists(rows, None) is rows
    assert list_start(None, rows) is rows
    assert next_list_start(None, rows) is rows


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 12), st.integers(0, 9))
def test_drawn_lists(sizes: list[int], size: int, seed: int) -> None:
    offsets = np.cumsum([0, *sizes])
    rows = np.append(np.arange(offsets[-1]), -1)[None]
    keys = np.where(rows >= 0, np.random.default_rng(seed).random(rows.shape), np.inf)
    found = some_lists(rows, keys, size, offsets)[0].tolist()
    slow: list[int] = []
    for chosen in np.argsort(keys[0][offsets[:-1]]):
        mine = list(range(offsets[chosen], offsets[chosen + 1]))
        if slow and len(slow) + len(mine) > size:
            break
        slow += mine
    assert [row for row in found if row >= 0] == sorted(slow)

"""Support rows come before the split, query rows after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting.episodes import (
    EpisodeRows,
    load_episodes,
    rows_around,
    sample_episodes,
    window_episodes,
)
from metaselector.data.splitting.windows import boundaries

MakeDataset = Callable[[Sequence[int]], EncodedDataset]
counts = st.lists(st.integers(2, 30), min_size=1, max_size=5)
windows = st.sampled_from([(80, 90), (90, 100), (0, 50), (50, 100)])


def check(dataset: EncodedDataset, rows: EpisodeRows, window: tuple[int, int]) -> None:
    """What holds of all episodes."""
    start, stop = (boundaries(dataset.user_offsets, percent) for percent in window)
    for user, support, query in zip(rows.users, rows.support, rows.query, strict=True):
        real_support, real_query = support[support >= 0], query[query >= 0]
        own = np.flatnonzero(dataset.users == user)
        assert set(support[support < 0]) | set(query[query < 0]) <= {-1}
        assert set(real_support) | set(real_query) <= set(own)
        assert len(real_query)
        assert start[user] <= real_query.min()
        assert real_query.max() < stop[user]
        together = np.concatenate([real_support, real_query])
        assert (np.diff(together) == 1).all()  # consecutive, oldest first, support then query


def test_window_episodes_by_hand(make_dataset: MakeDataset) -> None:
    rows = window_episodes(make_dataset([10, 20]), (80, 90), support_size=10)
    assert rows.users.tolist() == [0, 1]
    assert rows.support.tolist() == [[-1, -1, *range(8)], list(range(16, 26))]
    assert rows.query.tolist() == [[8, -1], [26, 27]]


def test_users_without_a_query_are_left_out(make_dataset: MakeDataset) -> None:
    """Of 3 rows, 80 % and 90 % are both 2."""
    rows = window_episodes(make_dataset([3, 10, 3]), (80, 90), support_size=2)
    assert rows.users.tolist() == [1]
    assert rows.support.tolist() == [[9, 10]]


def test_chosen_users_only_in_the_given_order(make_dataset: MakeDataset) -> None:
    rows = window_episodes(make_dataset([10, 10, 10]), (90, 100), 1, users=np.array([2, 0]))
    assert rows.users.tolist() == [2, 0]
    assert rows.query.tolist() == [[29], [9]]


def test_some_episodes_have_only_the_padding_that_they_need(make_dataset: MakeDataset) -> None:
    rows = window_episodes(make_dataset([10, 20]), (80, 90), support_size=10)
    first = rows.some(np.array([0]))
    assert first.support.tolist() == [[*range(8)]]
    assert first.query.tolist() == [[8]]
    assert rows.most_recent(0).some(np.array([0])).support.tolist() == [[-1]]


def test_no_user_at_all(make_dataset: MakeDataset) -> None:
    rows = window_episodes(make_dataset([3]), (80, 90), support_size=2)
    assert rows.support.shape == (0, 2)
    assert len(rows.query) == 0


@given(counts, windows, st.integers(1, 12))
def test_window_episodes_hold_the_whole_window(
    make_dataset: MakeDataset, counts: list[int], window: tuple[int, int], size: int
) -> None:
    dataset = make_dataset(counts)
    rows = window_episodes(dataset, window, size)
    check(dataset, rows, window)
    start, stop = (boundaries(dataset.user_offsets, percent) for percent in window)
    assert rows.users.tolist() == np.flatnonzero(stop > start).tolist()
    assert (rows.query >= 0).sum(1).tolist() == (stop - start)[rows.users].tolist()
    before = (start - dataset.user_offsets[:-1])[rows.users]
    assert (rows.support >= 0).sum(1).tolist() == np.minimum(before, size).tolist()


@given(counts, windows, st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_sampled_episodes_stay_in_the_window_and_with_the_user(
    make_dataset: MakeDataset,
    counts: list[int],
    window: tuple[int, int],
    support_size: int,
    query_size: int,
    seed: int,
) -> None:
    dataset = make_dataset(counts)
    users, generator = np.arange(len(counts)), np.random.default_rng(seed)
    rows = sample_episodes(dataset, window, support_size, query_size, users, generator)
    check(dataset, rows, window)
    assert rows.support.shape == (len(rows.users), support_size)
    assert rows.query.shape == (len(rows.users), query_size)


def sample(dataset: EncodedDataset, seed: int) -> EpisodeRows:
    users, generator = np.arange(dataset.num_users), np.random.default_rng(seed)
    return sample_episodes(dataset, (50, 100), 5, 5, users, generator)


def test_sampling_is_decided_by_the_generator(make_dataset: MakeDataset) -> None:
    dataset = make_dataset([40] * 8)
    first, same, other = (sample(dataset, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.query, same.query)
    assert np.array_equal(first.support, same.support)
    assert not np.array_equal(first.query, other.query)


def test_every_row_of_the_window_can_be_the_cut(make_dataset: MakeDataset) -> None:
    dataset = make_dataset([10])
    cuts = {int(sample(dataset, seed).query[0, 0]) for seed in range(60)}
    assert cuts == {5, 6, 7, 8, 9}


@pytest.mark.parametrize("query_size", [1, 2, None])
def test_query_size_is_a_limit(query_size: int | None) -> None:
    rows = rows_around(*(np.array([v]) for v in (0, 0, 2, 5)), 1, query_size)
    assert rows.query.tolist() == [[2, 3, 4][:query_size]]


def test_loading_masks_and_empties_the_padding(make_dataset: MakeDataset) -> None:
    dataset = make_dataset([10, 20])
    episodes = load_episodes(dataset, window_episodes(dataset, (80, 90), support_size=10))
    support, query = episodes.support, episodes.query
    assert support.mask.tolist() == [[0, 0, *[1] * 8], [1] * 10]
    assert query.mask.tolist() == [[1, 0], [1, 1]]
    assert support.batch.ids.squeeze(-1).tolist() == [[0, 0, *range(1, 9)], list(range(17, 27))]
    assert query.batch.ids.squeeze(-1).tolist() == [[9, 0], [27, 28]]
    assert query.labels.tolist() == [[0, 0], [0, 1]]
    for rows in (support, query):
        assert not rows.batch.values[rows.mask == 0].any()
        assert not rows.labels[rows.mask == 0].any()


def test_padding_is_not_observed_where_there_are_several_tasks(make_dataset: MakeDataset) -> None:
    single = make_dataset([10, 20])
    later = np.where(single.labels == 1, np.arange(30) % 4 == 1, np.nan).astype(np.float32)
    dataset = replace(
        single,
        schema=single.schema.model_copy(update={"tasks": ("a", "b"), "task_after": (-1, 0)}),
        task_labels=np.column_stack([single.labels, later]),
    )
    found = load_episodes(dataset, window_episodes(dataset, (80, 90), support_size=10))
    plain = load_episodes(single, window_episodes(single, (80, 90), support_size=10))
    for rows, expected in ((found.support, plain.support), (found.query, plain.query)):
        present = rows.mask.bool()
        assert rows.labels.shape == (*present.shape, 2)
        assert rows.labels[~present].isnan().all()
        assert torch.equal(rows.labels[present][:, 0], expected.labels[present])
        seen = rows.labels[present]
        assert torch.equal(seen[:, 1].isnan(), seen[:, 0] == 0)
        halves = rows.split(1)
        joined = torch.cat([half.labels for half in halves])
        assert torch.equal(joined.nan_to_num(-1), rows.labels.nan_to_num(-1))
        assert rows.to("cpu", torch.float64).labels.dtype == torch.float64


def test_moving_keeps_ids_whole(make_dataset: MakeDataset) -> None:
    dataset = make_dataset([10])
    episodes = load_episodes(dataset, window_episodes(dataset, (80, 90), 2))
    moved = episodes.to("cpu", torch.float64)
    assert moved.support.batch.ids.dtype == torch.int64
    for part in (moved.support.batch.values, moved.query.labels, moved.query.mask):
        assert part.dtype == torch.float64


def test_a_query_is_no_wider_than_the_widest_window() -> None:
    """Padding costs as much as rows, and moves sums by rounding."""
    dataset = planted_world(3, 10, 4, np.random.default_rng(0)).dataset
    whole = window_episodes(dataset, (60, 80), 3)
    assert window_episodes(dataset, (60, 80), 3, query_size=100).query.tolist() == (
        whole.query.tolist()
    )
    assert window_episodes(dataset, (60, 80), 3, query_size=1).query.shape[1] == 1


def test_many_query_rows_are_predicted_in_parts(
    make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of a user have the whole user's support, and hours since their first query row."""
    dataset = make_dataset([3, 30, 5])
    whole = window_episodes(dataset, (50, 100), support_size=4)
    monkeypatch.setattr("metaselector.data.splitting.episodes.MOST_QUERY", 4)
    parts = window_episodes(dataset, (50, 100), support_size=4)
    assert parts.query.shape[1] == 4
    assert parts.users.tolist() == [0, 1, 1, 1, 1, 2]
    assert parts.flat("query")[0].tolist() == whole.flat("query")[0].tolist()
    loaded, expected = (load_episodes(dataset, rows) for rows in (parts, whole))
    for part, user in enumerate(parts.users):
        assert parts.support[part].tolist() == whole.support[user].tolist()
        for mine, theirs in zip(loaded.support.batch, expected.support.batch, strict=True):
            assert torch.equal(mine[part], theirs[user])
        assert loaded.support.hours is not None
        assert expected.support.hours is not None
        assert torch.equal(loaded.support.hours[part], expected.support.hours[user])
    assert loaded.query.hours is not None
    assert expected.query.hours is not None
    together = torch.cat([loaded.query.hours[part] for part in range(1, 5)])
    assert torch.equal(together[:15], expected.query.hours[1])

"""How much of a support set is shown, and when its rows were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.microseconds import HOUR
from metaselector.data.planted import planted_world
from metaselector.data.splitting.episodes import (
    EpisodeRows,
    Episodes,
    load_episodes,
    window_episodes,
)
from metaselector.data.splitting.hours import hours_of
from metaselector.data.splitting.protocol import with_random_supports

NONE = -1


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    """Users with 10 rows each; row i is i * i hours after the first of all."""
    plain = planted_world(2, 10, 4, np.random.default_rng(0)).dataset
    return replace(plain, timestamps=np.arange(len(plain), dtype=np.int64) ** 2 * HOUR)


def rows_of(users: int, width: int) -> EpisodeRows:
    support = np.arange(users * width).reshape(users, width)
    return EpisodeRows(np.arange(users), support, support[:, -1:] + 1, np.arange(users))


# Sizes


def test_the_most_recent_rows_are_kept() -> None:
    rows = EpisodeRows(
        np.arange(3), np.array([[0, 1, 2], [NONE, 3, 4], [5, 6, 7]]), np.ones((3, 1))
    )
    assert rows.most_recent(2).support.tolist() == [[1, 2], [3, 4], [6, 7]]
    each = rows.most_recent(np.array([1, 3, 0]))
    assert each.support.tolist() == [[NONE, NONE, 2], [NONE, 3, 4], [NONE] * 3]
    assert rows.most_recent(9).support.tolist() == rows.support.tolist()


def test_no_row_is_one_row_of_padding() -> None:
    rows = rows_of(2, 3).most_recent(0)
    assert rows.support.tolist() == [[NONE], [NONE]]
    assert rows.history_limits is not None
    assert rows.history_limits.tolist() == [0, 1]


def test_half_of_the_users_keep_all_and_the_others_get_a_size() -> None:
    users, width, sizes = 6000, 8, (0, 1, 3)
    rows = rows_of(users, width)
    found = with_random_supports(rows, sizes, np.random.default_rng(0))
    kept = (found.support >= 0).sum(axis=1)
    values, counts = np.unique(kept, return_counts=True)
    assert values.tolist() == [*sizes, width]
    assert counts / users == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2], abs=0.03)
    for user in range(20):
        left = found.support[user][found.support[user] >= 0]
        assert left.tolist() == rows.support[user, width - kept[user] :].tolist()
    assert np.array_equal(found.query, rows.query)


def test_larger_sizes_than_there_are_rows_keep_all() -> None:
    rows = rows_of(50, 2)
    found = with_random_supports(rows, (5,), np.random.default_rng(0))
    assert np.array_equal(found.support[:, -2:], rows.support)
    assert (found.support[:, :-2] == NONE).all()


def test_without_sizes_nothing_is_drawn() -> None:
    rows, generator = rows_of(4, 3), np.random.default_rng(0)
    before = generator.bit_generator.state
    assert with_random_supports(rows, (), generator) is rows
    assert generator.bit_generator.state == before


# Hours


def test_hours_count_from_the_first_query_row(dataset: EncodedDataset) -> None:
    rows = EpisodeRows(
        np.array([0, 1]),
        np.array([[NONE, 1, 2], [11, 12, 13]]),
        np.array([[4, 6], [15, NONE]]),
    )
    support, query = hours_of(dataset, rows.support, rows.query, rows.since)
    assert support.tolist() == [[0, 1 - 16, 4 - 16], [121 - 225, 144 - 225, 169 - 225]]
    assert query.tolist() == [[0, 36 - 16], [0, 0]]
    assert support.dtype == query.dtype == torch.float32


def test_users_without_a_query_have_finite_hours(dataset: EncodedDataset) -> None:
    """A worker without users of its own loads such an episode."""
    rows = EpisodeRows(np.array([0]), np.array([[NONE]]), np.zeros((1, 0), dtype=np.int64))
    support, query = hours_of(dataset, rows.support, rows.query, rows.since)
    assert support.isfinite().all()
    assert query.shape == (1, 0)


def similarity(dataset: EncodedDataset, rows: EpisodeRows) -> torch.Tensor:
    """The positions of both rows, as if they were measures."""
    shape = (*rows.query.shape, rows.support.shape[1])
    pairs = (
        np.broadcast_to(rows.query[:, :, None], shape),
        np.broadcast_to(rows.support[:, None], shape),
    )
    return torch.from_numpy(np.stack(pairs, axis=-1)).float()


@pytest.fixture(scope="module")
def episodes(dataset: EncodedDataset) -> Episodes:
    return load_episodes(dataset, window_episodes(dataset, (60, 90), 4), similarity)


def test_splitting_keeps_hours_and_similarity(episodes: Episodes) -> None:
    assert episodes.similarity is not None
    parts = episodes.split(3)
    assert [len(part.query.mask) for part in parts] == [3, 1]
    for name in ("support", "query"):
        joined = torch.cat([getattr(part, name).hours for part in parts])
        assert torch.equal(joined, getattr(episodes, name).hours)
        assert joined.any()
    alike = torch.cat([part.similarity for part in parts if part.similarity is not None])
    assert torch.equal(alike, episodes.similarity)


def test_moving_keeps_hours_and_similarity(episodes: Episodes) -> None:
    moved = episodes.to("cpu", torch.float64)
    for now, before in (
        (moved.support.hours, episodes.support.hours),
        (moved.query.hours, episodes.query.hours),
        (moved.similarity, episodes.similarity),
    ):
        assert now is not None
        assert before is not None
        assert now.dtype == torch.float64
        assert torch.equal(now, before.double())


def test_nothing_unknown_is_made_up(episodes: Episodes) -> None:
    bare = Episodes(replace(episodes.support, hours=None), replace(episodes.query, hours=None))
    for part in (*bare.split(2), bare.to("cpu", torch.float64)):
        assert part.support.hours is part.query.hours is part.similarity is None

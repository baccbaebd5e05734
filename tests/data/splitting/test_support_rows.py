"""Episodes of *test* with a given number of support rows."""

from __future__ import annotations

import numpy as np
import pytest

from metaselector.common.errors import UserError
from metaselector.config import AdaptConfig, ColdConfig, Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.cold import Cold
from metaselector.data.splitting.episodes import NO_ROW, EpisodeRows, load_episodes
from metaselector.data.splitting.protocol import with_recent_support

ROWS = 12
WARM = Config(adapt=AdaptConfig(support_size=4))
COLD = Config(protocol="cold", cold=ColdConfig(support_sizes=(2, 5)))


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted_world(60, ROWS, 8, np.random.default_rng(0)).dataset


def test_the_most_recent_rows_are_kept() -> None:
    support = np.array([[1, 2, 3], [NO_ROW, NO_ROW, 7]])
    episodes = EpisodeRows(np.arange(2), support, np.array([[4], [8]]))
    assert with_recent_support(episodes, 2).support.tolist() == [[2, 3], [NO_ROW, 7]]
    assert with_recent_support(episodes, 9).support.tolist() == support.tolist()
    assert with_recent_support(episodes, 0).support.tolist() == [[NO_ROW], [NO_ROW]]


@pytest.mark.parametrize("n", [0, 1, 3, 4])
def test_known_users_have_the_same_queries_for_every_number(
    dataset: EncodedDataset, n: int
) -> None:
    protocol = make_protocol(dataset, WARM)
    (split,) = protocol.evaluation_splits
    assert protocol.most_support_rows == 4
    found = protocol.test_episodes(n)
    assert np.array_equal(found.query, split.test.query)
    assert np.array_equal(found.users, split.test.users)
    present = found.support >= 0
    assert (present.sum(axis=1) == n).all()
    assert np.array_equal(found.support[present], split.test.support[:, 4 - n :].ravel())


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_new_users_bring_their_first_rows(dataset: EncodedDataset, n: int) -> None:
    protocol = Cold(dataset, COLD)
    assert protocol.most_support_rows == 5
    found = protocol.test_episodes(n)
    assert found.users.tolist() == protocol.users(90, 100).tolist()
    for user, support, query in zip(found.users, found.support, found.query, strict=True):
        first = user * ROWS
        assert support[support >= 0].tolist() == list(range(first, first + n))
        assert query.tolist() == list(range(first + n, first + ROWS))
    limits = found.history_limits
    assert limits is not None
    shown = dataset.labels.reshape(-1, ROWS)[found.users, :n]
    assert limits.tolist() == shown.sum(axis=1).tolist()


def test_new_users_without_later_rows_are_left_out(dataset: EncodedDataset) -> None:
    protocol = Cold(dataset, COLD)
    assert (protocol.test_episodes(ROWS - 1).query >= 0).sum(axis=1).tolist() == [1] * len(
        protocol.users(90, 100)
    )
    with pytest.raises(UserError, match=f"more than {ROWS} rows"):
        protocol.test_episodes(ROWS)


def test_the_numbers_of_the_settings_give_the_episodes_of_the_results(
    dataset: EncodedDataset,
) -> None:
    for config, sizes in ((WARM, [4]), (COLD, [2, 5])):
        protocol = make_protocol(dataset, config)
        for split, size in zip(protocol.evaluation_splits, sizes, strict=True):
            found = protocol.test_episodes(size)
            assert np.array_equal(found.support, split.test.support)
            assert np.array_equal(found.query, split.test.query)


def test_no_support_is_padding(dataset: EncodedDataset) -> None:
    for config in (WARM, COLD):
        episodes = load_episodes(dataset, make_protocol(dataset, config).test_episodes(0))
        assert not episodes.support.mask.any()
        assert not episodes.support.batch.ids.any()

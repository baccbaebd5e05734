"""Rows and users of every step: by hand, and without overlapping windows."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from metaselector.common.errors import UserError
from metaselector.config import AdaptConfig, ColdConfig, Config, MetaTrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.cold import Cold
from metaselector.data.splitting.warm import Warm
from metaselector.data.splitting.windows import rows_of, user_places, window_rows

ROWS, QUERY = 12, 4
SIZES = (2, 5)
CONFIG = Config(
    protocol="cold",
    cold=ColdConfig(support_sizes=SIZES),
    adapt=AdaptConfig(support_size=3, support_sizes=()),
    meta_train=MetaTrainConfig(query_size=QUERY),
)


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted_world(60, ROWS, 8, np.random.default_rng(0)).dataset


@pytest.fixture(scope="module")
def cold(dataset: EncodedDataset) -> Cold:
    return Cold(dataset, CONFIG)


def users_in(dataset: EncodedDataset, rows: np.ndarray) -> set[int]:
    return set(dataset.users[rows[rows >= 0]].tolist())


# Warm


def test_warm_is_made_of_windows(dataset: EncodedDataset) -> None:
    warm = make_protocol(dataset, CONFIG.model_copy(update={"protocol": "warm"}))
    assert isinstance(warm, Warm)
    offsets = dataset.user_offsets
    for window, end in (("early", 60), ("train", 80), ("full", 90)):
        assert np.array_equal(warm.fitting_rows(window), window_rows(offsets, 0, end))
    assert np.array_equal(warm.stopping_rows(), window_rows(offsets, 80, 90))
    (evaluation_split,) = warm.evaluation_splits
    assert (evaluation_split.name, evaluation_split.folder, evaluation_split.support_is_unseen) == (
        "warm-chronological",
        ".",
        False,
    )
    assert np.array_equal(evaluation_split.valid.flat("query")[0], window_rows(offsets, 80, 90))
    assert np.array_equal(evaluation_split.test.flat("query")[0], window_rows(offsets, 90, 100))
    assert evaluation_split.test.flat("query")[1] is None
    assert warm.fitting_dataset is dataset


def test_warm_episodes_may_start_where_the_early_models_end(dataset: EncodedDataset) -> None:
    settings = MetaTrainConfig(query_size=2, support_boundary="start")
    warm = Warm(dataset, CONFIG.model_copy(update={"protocol": "warm", "meta_train": settings}))
    found = warm.sample(np.arange(3), np.random.default_rng(0))
    first = np.arange(3) * ROWS + ROWS * 60 // 100
    assert found.query.tolist() == [[row, row + 1] for row in first]
    assert found.support.tolist() == [[row - 3, row - 2, row - 1] for row in first]


# Users


def test_places_follow_the_name_alone() -> None:
    names = [str(i) for i in range(10_000)]
    places = user_places(names, 0)
    assert np.array_equal(user_places(names[:7][::-1], 0), places[:7][::-1])
    assert places.min() >= 0
    assert places.max() < 100
    assert np.histogram(places, 10, (0, 100))[0] == pytest.approx(1000, abs=150)
    other = user_places(names, 1)
    assert abs(np.corrcoef(places, other)[0, 1]) < 0.05


def test_users_are_parted(dataset: EncodedDataset, cold: Cold) -> None:
    parts = [cold.users(*edges) for edges in ((0, 60), (60, 80), (80, 90), (90, 100))]
    assert sorted(np.concatenate(parts)) == list(range(dataset.num_users))
    for a, b in combinations(parts, 2):
        assert not set(a) & set(b)


def test_cold_windows_hold_all_rows_of_their_users(dataset: EncodedDataset, cold: Cold) -> None:
    for window, end in (("early", 60), ("train", 80), ("full", 90)):
        rows = cold.fitting_rows(window)
        assert np.array_equal(rows, rows_of(dataset.user_offsets, cold.users(0, end)))
        assert len(rows) == ROWS * len(cold.users(0, end))
    assert users_in(dataset, cold.stopping_rows()) == set(cold.users(80, 90))


def test_queries_are_of_users_that_the_base_models_have_not_seen(
    dataset: EncodedDataset, cold: Cold
) -> None:
    sampled = cold.sample(cold.learners, np.random.default_rng(0))
    seen = {w: users_in(dataset, cold.fitting_rows(w)) for w in ("early", "train", "full")}
    assert set(sampled.users) == seen["train"] - seen["early"]
    for evaluation_split in cold.evaluation_splits:
        assert set(evaluation_split.valid.users) == seen["full"] - seen["train"]
        assert set(evaluation_split.test.users) == set(range(dataset.num_users)) - seen["full"]


def test_an_epoch_has_every_learner_once_for_each_size(cold: Cold) -> None:
    assert np.array_equal(cold.learners, np.repeat(cold.users(60, 80), len(SIZES)))


# Episodes


def test_the_support_is_the_first_rows_and_the_query_the_rest(
    dataset: EncodedDataset, cold: Cold
) -> None:
    for evaluation_split, size in zip(cold.evaluation_splits, SIZES, strict=True):
        assert (evaluation_split.name, evaluation_split.folder) == (
            f"cold-{size}",
            f"support-{size}",
        )
        assert evaluation_split.support_is_unseen
        for episodes in (evaluation_split.valid, evaluation_split.test):
            first = dataset.user_offsets[episodes.users]
            assert np.array_equal(episodes.support, first[:, None] + np.arange(size))
            assert np.array_equal(episodes.query, first[:, None] + np.arange(size, ROWS))


def test_sampled_episodes(dataset: EncodedDataset, cold: Cold) -> None:
    episodes = cold.sample(np.repeat(cold.users(60, 80), 20), np.random.default_rng(0))
    first = dataset.user_offsets[episodes.users]
    sizes = (episodes.support >= 0).sum(axis=1)
    assert set(sizes) == set(SIZES)
    for user, size in enumerate(sizes):
        support = episodes.support[user][episodes.support[user] >= 0]
        assert np.array_equal(support, first[user] + np.arange(size))
    assert (np.diff(episodes.query, axis=1) > 0).all()  # later rows, none twice
    assert (episodes.query >= (first + sizes)[:, None]).all()
    assert (episodes.query < (first + ROWS)[:, None]).all()
    assert episodes.query.shape[1] == QUERY
    of_two = episodes.query[sizes == 2] - first[sizes == 2, None]
    assert set(of_two.ravel()) == set(range(2, ROWS))  # any of them, not the next ones


def test_short_users_are_left_out_of_large_supports() -> None:
    dataset = planted_world(60, 5, 8, np.random.default_rng(0)).dataset
    sizes = ColdConfig(support_sizes=(2, 4))
    cold = Cold(dataset, CONFIG.model_copy(update={"cold": sizes}))
    sampled = cold.sample(np.repeat(cold.learners, 5), np.random.default_rng(0))
    assert set((sampled.support >= 0).sum(axis=1)) == {2, 4}
    assert {
        evaluation_split.test.query.shape[1] for evaluation_split in cold.evaluation_splits
    } == {3, 1}
    too_large = Cold(dataset, CONFIG)
    assert (
        too_large.sample(cold.learners, np.random.default_rng(0)).support >= 0
    ).sum() == 2 * len(cold.learners)
    with pytest.raises(UserError, match=r"has more than 5 rows; leave 5 out of cold.support_sizes"):
        _ = too_large.evaluation_splits


def test_new_users_learn_from_small_supports_too(dataset: EncodedDataset) -> None:
    """All sizes are as likely, the evaluated ones among them, and the query lies behind each."""
    small = AdaptConfig(support_sizes=(1, 3))
    cold = Cold(dataset, CONFIG.model_copy(update={"adapt": small}))
    users = np.repeat(cold.users(60, 80), 100)
    episodes = cold.sample(users, np.random.default_rng(0))
    sizes = (episodes.support >= 0).sum(axis=1)
    found, counts = np.unique(sizes, return_counts=True)
    assert found.tolist() == [1, 2, 3, 5]
    assert counts / len(users) == pytest.approx(1 / 4, abs=0.05)
    first = dataset.user_offsets[episodes.users]
    assert np.array_equal(episodes.support.max(axis=1), first + sizes - 1)
    assert (episodes.query >= (first + sizes)[:, None]).all()


def test_known_users_learn_from_small_supports_too(dataset: EncodedDataset) -> None:
    """The rows are those of whole supports, and the draw of the split is the same."""
    settings = AdaptConfig(support_size=4, support_sizes=(1, 2))
    whole, some = (
        Warm(dataset, CONFIG.model_copy(update={"adapt": adapt})).sample(
            np.arange(60), np.random.default_rng(0)
        )
        for adapt in (settings.model_copy(update={"support_sizes": ()}), settings)
    )
    assert np.array_equal(some.query, whole.query)
    sizes = (some.support >= 0).sum(axis=1)
    assert set(sizes) == {1, 2, 4}
    for user, size in enumerate(sizes):
        assert np.array_equal(some.support[user, 4 - size :], whole.support[user, 4 - size :])


def test_too_few_users() -> None:
    dataset = planted_world(1, 20, 8, np.random.default_rng(0)).dataset
    with pytest.raises(UserError, match="none of the 2 users falls between 80 and 90 percent"):
        _ = Cold(dataset, CONFIG).evaluation_splits


@pytest.mark.parametrize(("small", "least"), [((), 2), ((1,), 1)])
def test_nothing_to_learn_names_the_smallest_support(
    dataset: EncodedDataset, small: tuple[int, ...], least: int
) -> None:
    adapt = AdaptConfig(support_sizes=small)
    cold = Cold(dataset, CONFIG.model_copy(update={"adapt": adapt}))
    assert f"no meta-training user has more than {least} rows" in cold.nothing_to_learn

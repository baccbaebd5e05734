"""Split users: fitted vocabularies, and histories that end early."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from metaselector.config import ColdConfig, Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import InteractionTable
from metaselector.data.preparation.encode import Settings, encode
from metaselector.data.splitting.cold import Cold
from metaselector.data.splitting.windows import rows_of, user_places

Row = tuple[str, str, float, int]
MakeTable = Callable[[Sequence[Row]], InteractionTable]
SETTINGS = Settings(history_length=3, cold_seed=0)
CONFIG = Config(protocol="cold", cold=ColdConfig(support_sizes=(2, 4)))
USERS, ROWS = [f"u{i}" for i in range(40)], 9
PLACES = dict(zip(USERS, user_places(USERS, 0).tolist(), strict=True))


def random_rows(seed: int) -> list[Row]:
    """Nine rows of each user, two at a time; i4 is in rows of validation and test alone."""
    rng = np.random.default_rng(seed)

    def item(user: str, place: int) -> str:
        if place % 2:
            return "i4" if PLACES[user] >= 80 and rng.random() < 0.5 else "i3"
        return f"i{rng.integers(1, 3)}"

    return [
        (user, item(user, place), float(rng.integers(1, 6)), place // 2 * 86_400)
        for user in USERS
        for place in range(ROWS)
    ]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return random_rows(0)


@pytest.fixture
def dataset(make_table: MakeTable, rows: list[Row]) -> EncodedDataset:
    return encode(make_table(rows), SETTINGS)


def test_only_early_users_are_in_the_vocabulary(dataset: EncodedDataset) -> None:
    vocabulary = next(f.vocabulary for f in dataset.schema.fields if f.name == "user")
    assert set(vocabulary) == {user for user in USERS if PLACES[user] < 60}


def test_the_rest_is_fitted_on_meta_training_users(
    dataset: EncodedDataset, rows: list[Row], make_table: MakeTable
) -> None:
    vocabulary = next(f.vocabulary for f in dataset.schema.fields if f.name == "item")
    assert set(vocabulary) == {"i1", "i2", "i3"}
    other = random_rows(1)
    mixed = [a if PLACES[a[0]] < 80 else b for a, b in zip(rows, other, strict=True)]
    assert encode(make_table(mixed), SETTINGS).schema == dataset.schema
    mixed = [a if PLACES[a[0]] < 60 else b for a, b in zip(rows, other, strict=True)]
    assert not np.array_equal(encode(make_table(mixed), SETTINGS).labels, dataset.labels)


def test_the_schema_says_how_users_were_split(
    dataset: EncodedDataset, rows: list[Row], make_table: MakeTable
) -> None:
    assert (dataset.schema.protocol, dataset.schema.cold_seed) == ("cold", 0)
    with pytest.raises(ValueError, match="cold_seed=0, not 1"):
        encode(make_table(rows), Settings(history_length=3, cold_seed=1), dataset.schema)


@pytest.mark.parametrize("size", [2, 4])
def test_limited_histories_equal_those_without_later_positives(
    dataset: EncodedDataset, rows: list[Row], make_table: MakeTable, size: int
) -> None:
    disliked = [
        (user, item, rating if place % ROWS < size else 1.0, time)
        for place, (user, item, rating, time) in enumerate(rows)
    ]
    twin = encode(make_table(disliked), SETTINGS, dataset.schema)
    liked = dataset.labels.reshape(-1, ROWS)[:, :size].sum(axis=1).astype(np.int64)
    every = np.arange(len(dataset)).reshape(-1, ROWS)
    limits = np.broadcast_to(liked[:, None], every.shape)
    for limited, expected in zip(dataset.batch(every, limits), twin.batch(every), strict=True):
        assert torch.equal(limited, expected)
    unlimited = dataset.batch(every).values
    assert not torch.equal(unlimited, twin.batch(every).values)


def test_episodes_have_those_limits(dataset: EncodedDataset) -> None:
    labels = dataset.labels.reshape(-1, ROWS)
    cold = Cold(dataset, CONFIG)
    sampled = cold.sample(np.repeat(cold.learners, 3), np.random.default_rng(0))
    for episodes in (
        sampled,
        *(evaluation_split.test for evaluation_split in cold.evaluation_splits),
    ):
        sizes = (episodes.support >= 0).sum(axis=1)
        known = np.arange(ROWS) < sizes[:, None]
        assert episodes.history_limits is not None
        expected = (labels[episodes.users] * known).sum(axis=1)
        assert np.array_equal(episodes.history_limits, expected)


def test_base_models_are_trained_on_histories_of_either_size(dataset: EncodedDataset) -> None:
    """Each row has the history of one of the sizes, and every size occurs."""
    fitting = Cold(dataset, CONFIG).fitting_dataset
    liked = np.cumsum(dataset.labels.reshape(-1, ROWS), axis=1)
    possible = [
        np.minimum(dataset.history_sizes.reshape(-1, ROWS), liked[:, [size - 1]])
        for size in CONFIG.cold.support_sizes
    ]
    found = fitting.history_sizes.reshape(-1, ROWS)
    same = [found == sizes for sizes in possible]
    assert (same[0] | same[1]).all()
    assert (same[0] & ~same[1]).any()
    assert (same[1] & ~same[0]).any()
    every = rows_of(dataset.user_offsets, np.arange(dataset.num_users))
    assert torch.equal(fitting.label(every), dataset.label(every))


@pytest.mark.parametrize("change", ["fewer rows", "more rows", "no test user", "a new user"])
def test_users_of_the_test_change_no_row_of_training(
    dataset: EncodedDataset, rows: list[Row], make_table: MakeTable, change: str
) -> None:
    """Their users change places, so users are compared by name."""
    tested = [row for row in rows if PLACES[row[0]] >= 90]
    kept = [row for row in rows if PLACES[row[0]] < 90]
    names = [f"new{i}" for i in range(40)]
    newcomer = names[int(np.argmax(user_places(names, 0)))]
    other = {
        "fewer rows": tested[::2] + kept,
        "more rows": [(u, i, r, t + n) for n in (0, 3) for u, i, r, t in tested] + kept,
        "no test user": [*kept, *tested[:1], tested[1]],
        "a new user": [(newcomer, i, r, t) for _, i, r, t in tested[:ROWS]] + rows,
    }[change]
    changed = encode(make_table(other), SETTINGS)
    assert len(changed) != len(dataset)
    assert changed.schema == dataset.schema
    assert training_rows(changed) == training_rows(dataset)


def training_rows(dataset: EncodedDataset) -> dict[str, list[list[float]]]:
    """Slots and labels of the rows that the *full* models are fitted on, by user."""
    cold = Cold(dataset, CONFIG)
    fitting, found = cold.fitting_dataset, {}
    fitted = cold.fitting_rows("full")
    for user in np.unique(dataset.users[fitted]).tolist():
        rows = fitted[dataset.users[fitted] == user]
        ids, values = fitting.batch(rows)
        row = torch.cat([ids.double(), values.double(), fitting.label(rows)[:, None]], 1)
        found[dataset.user_names[user]] = row.tolist()
    return found

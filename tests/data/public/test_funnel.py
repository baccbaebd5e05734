"""MovieLens' ratings as a funnel: watched, then liked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.fetch import SAME_FILES, SOURCES
from metaselector.data.interactions import InteractionTable
from metaselector.data.microseconds import DAY
from metaselector.data.preparation.encode import encode
from metaselector.data.public.funnel import as_funnel
from metaselector.data.registry import DATASETS, read
from metaselector.data.splitting.windows import boundaries

NAME = "movielens-100k-funnel"
WATCHED, LIKED = 0, 1
FILMS, USERS, ROWS = 60, 12, 20


@pytest.fixture(scope="module")
def ratings(make_table: Callable[..., InteractionTable]) -> InteractionTable:
    """Users rate 20 or 21 of 60 films once, low numbers most often, two films at a time."""
    generator = np.random.default_rng(0)
    weights = 1 / np.arange(1, FILMS + 1)
    rows = []
    for user in range(USERS):
        n = ROWS + user % 2
        films = generator.choice(FILMS, n, replace=False, p=weights / weights.sum())
        stars = generator.integers(1, 6, n)
        for rank, (film, star) in enumerate(zip(films.tolist(), stars.tolist(), strict=True)):
            rows.append((f"u{user}", f"f{film}", float(star), 86_400 * (rank // 2)))
    return replace(make_table(rows, 50), user_features=(), item_features=())


@pytest.fixture(scope="module")
def dataset(ratings: InteractionTable) -> EncodedDataset:
    return encode(as_funnel(ratings))


def test_labels(ratings: InteractionTable, dataset: EncodedDataset) -> None:
    assert dataset.schema.tasks == ("watched", "liked")
    assert dataset.schema.parents == (None, WATCHED)
    watched = dataset.task_labels[:, WATCHED] == 1
    stars = ratings.interactions["rating"].to_numpy()
    assert sorted(dataset.source_rows[watched]) == list(range(len(stars)))
    expected = stars[dataset.source_rows[watched]] >= 4
    assert np.array_equal(dataset.task_labels[watched, LIKED], expected)
    assert np.isnan(dataset.task_labels[~watched, LIKED]).all()


def test_one_sampled_film_for_a_rating_never_a_rated_one_and_never_twice(
    ratings: InteractionTable, dataset: EncodedDataset
) -> None:
    assert len(dataset) == 2 * len(ratings.interactions)
    rows = dataset.task_labels.reshape(-1, 2, 2)  # [N, T] to [pairs, 2, T]
    assert (rows[:, :, WATCHED] == [1, 0]).all()  # a rating, then its sampled film
    pairs = dataset.users * FILMS + dataset.items
    assert len(np.unique(pairs)) == len(pairs)
    assert np.array_equal(dataset.timestamps[::2], dataset.timestamps[1::2])


def test_a_sampled_row_differs_from_its_rating_in_the_film_alone(dataset: EncodedDataset) -> None:
    batch = dataset.batch(np.arange(len(dataset)))
    fields = np.array(dataset.schema.slot_fields)
    item = [field.name for field in dataset.schema.fields].index("item")
    for slots in batch:
        others = slots.numpy()[:, fields != item]
        assert np.array_equal(others[::2], others[1::2])


def test_histories_hold_what_was_watched_strictly_before(dataset: EncodedDataset) -> None:
    watched = dataset.task_labels[:, WATCHED] == 1
    frozen = boundaries(dataset.user_offsets, 90)[dataset.users]
    position = np.arange(len(dataset))
    for row in position:
        mine = watched & (dataset.users == dataset.users[row]) & (position < frozen[row])
        earlier = mine & (dataset.timestamps < dataset.timestamps[row])
        assert dataset.history_sizes[row] == earlier.sum()


def test_no_later_rating_changes_a_feature(
    ratings: InteractionTable, dataset: EncodedDataset
) -> None:
    """Sampled films depend on all ratings, but the features of a row do not."""
    early = DAY * 7

    def read_early() -> object:
        for block in ratings.read():
            keep = block.timestamps < early
            yield block._replace(
                user=block.user.filter(keep),
                item=block.item.filter(keep),
                labels=block.labels[keep],
                timestamps=block.timestamps[keep],
                lines=block.lines[keep],
            )

    # Windows differ, so that no history may stop at the start of the test window.
    rows = np.flatnonzero(dataset.timestamps < DAY * 5)
    cut = encode(as_funnel(replace(ratings, read=read_early)), schema=dataset.schema)
    kept = np.flatnonzero(cut.timestamps < DAY * 5)
    assert len(kept) == len(rows)
    fields = np.array(dataset.schema.slot_fields)
    item = [field.name for field in dataset.schema.fields].index("item")
    for before, after in zip(dataset.batch(rows), cut.batch(kept), strict=True):
        assert np.array_equal(before[::2], after[::2])  # ratings
        others = fields != item
        assert np.array_equal(before[1::2].numpy()[:, others], after[1::2].numpy()[:, others])
    assert np.array_equal(dataset.label(rows), cut.label(kept), equal_nan=True)


def test_a_row_is_in_one_window_and_a_pair_in_two_at_most_once_a_boundary(
    dataset: EncodedDataset,
) -> None:
    for percent in (60, 80, 90):  # of 40 or 42 rows: the end is at an even or an odd rank
        ends = boundaries(dataset.user_offsets, percent)
        split = dataset.task_labels[ends - 1, WATCHED] == 1
        assert 0 < split.sum() < USERS
        # Only then does the next window begin with the sampled film of the last rating.
        assert (dataset.task_labels[ends[split], WATCHED] == 0).all()
        assert (dataset.task_labels[ends[~split], WATCHED] == 1).all()


def test_it_is_read_from_the_files_of_the_ratings(write_world: Callable[..., Path], tmp_path: Path):
    assert SOURCES[NAME] is SOURCES["movielens-100k"]
    assert SAME_FILES[NAME] == "movielens-100k"
    path = write_world(tmp_path)
    plain, funnel = read("movielens-100k", path), read(NAME, path)
    assert funnel.name == NAME
    assert DATASETS[NAME].expected == DATASETS["movielens-100k"].expected
    pd.testing.assert_frame_equal(
        funnel.interactions.drop(columns=["watched"]).rename(columns={"liked": "rating"}),
        plain.interactions,
    )
    assert (funnel.interactions["watched"] == 1).all()

"""Unlabelled pairs: none is a row of the data, and none sees a later row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metaselector.common.errors import ConfigError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting.windows import window_rows
from metaselector.training.peer_learning.pairs import Pairs, as_rows, check_items, draw, in_data


def drawn(dataset: EncodedDataset, size: int = 200, seed: int = 0) -> Pairs:
    rows = window_rows(dataset.user_offsets, 0, 80)
    return draw(dataset, rows, size, in_data(dataset), np.random.default_rng(seed))


def test_no_pair_is_a_row_of_any_window(dataset: EncodedDataset) -> None:
    pairs = drawn(dataset)
    users = dataset.users
    of_rows = set(zip(users.tolist(), dataset.items.tolist(), strict=True))
    of_pairs = list(zip(users[pairs.context].tolist(), pairs.items.tolist(), strict=True))
    assert len(of_pairs) >= 100
    assert len(set(of_pairs)) == len(of_pairs)
    assert not of_rows & set(of_pairs)
    # The world is small: drawn from the training rows' pairs alone, some would be later rows.
    train = window_rows(dataset.user_offsets, 0, 80)
    known = Pairs(train, dataset.items[train].astype(np.int64)).keys(dataset)
    careless = draw(dataset, train, 200, known, np.random.default_rng(0))
    late = set(zip(users[careless.context].tolist(), careless.items.tolist(), strict=True))
    assert late & of_rows


def test_contexts_and_items_are_of_training_rows(dataset: EncodedDataset) -> None:
    rows = window_rows(dataset.user_offsets, 0, 30)
    pairs = draw(dataset, rows, 100, in_data(dataset), np.random.default_rng(0))
    assert np.isin(pairs.context, rows).all()
    assert np.isin(pairs.items, dataset.items[rows]).all()


def test_a_pair_has_the_features_of_its_user_item_and_moment(dataset: EncodedDataset) -> None:
    pairs = drawn(dataset)
    made, place = as_rows(dataset, pairs)
    found, context = made.batch(place), dataset.batch(pairs.context)
    of_item = np.array(
        [f.of == "item" for f in dataset.schema.fields for _ in range(f.slots)], dtype=bool
    )
    for ours, theirs in zip(found, context, strict=True):
        assert (ours[:, ~of_item] == theirs[:, ~of_item]).all()
    first = {int(item): row for row, item in reversed(list(enumerate(dataset.items)))}
    like = dataset.batch(np.array([first[int(item)] for item in pairs.items]))
    for ours, theirs in zip(found, like, strict=True):
        assert (ours[:, of_item] == theirs[:, of_item]).all()
    assert (made.users[place] == dataset.users[pairs.context]).all()
    assert np.isnan(made.task_labels).all()


def test_no_later_label_changes_a_pair(dataset: EncodedDataset) -> None:
    """Every label after the context is turned, and so are all of *valid* and *test*."""
    pairs = drawn(dataset, 40)
    before, place = as_rows(dataset, pairs)
    for i, row in enumerate(pairs.context.tolist()):
        labels, user = dataset.task_labels.copy(), dataset.users[row]
        later = np.arange(row, dataset.user_offsets[user + 1])
        labels[later] = 1 - labels[later]
        # Histories are views into the user's positives; those of later rows stand behind.
        shown = dataset.history_sizes[row]
        kept = dataset.liked_offsets[user] + shown
        liked = dataset.liked.copy()
        liked[kept : dataset.liked_offsets[user + 1]] = 1
        after, _ = as_rows(replace(dataset, task_labels=labels, liked=liked), pairs)
        at = np.array([place[i]])
        for ours, theirs in zip(after.batch(at), before.batch(at), strict=True):
            assert (ours == theirs).all()


def test_nothing_is_drawn_where_every_pair_is_a_row(dataset: EncodedDataset) -> None:
    rows = window_rows(dataset.user_offsets, 0, 80)
    every = np.arange(dataset.num_users * len(dataset.item_cells))
    assert len(draw(dataset, rows, 10, every, np.random.default_rng(0)).items) == 0


def test_rows_without_items_have_no_pairs() -> None:
    world = planted_world(4, 20, 20, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="the data has no items"):
        check_items(world.dataset)

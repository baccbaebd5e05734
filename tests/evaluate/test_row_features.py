"""The features of rows as a table: every kind of field, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
from metaselector.evaluate import row_features as module
from metaselector.evaluate.row_features import row_features, row_table


def field(name: str, kind: Any, of: Any, slots: int, first_id: int, words: int) -> Field:
    vocabulary = tuple(f"{name}{i}" for i in range(words))
    return Field(name=name, kind=kind, of=of, slots=slots, first_id=first_id, vocabulary=vocabulary)


SCHEMA = Schema(
    dataset="tiny",
    label_threshold=4.0,
    history_length=2,
    windows=(60, 80, 90),
    fields=(
        field("user", "categorical", "user", 1, 1, 2),  # ids 1 (unseen), 2, 3
        field("genres", "multivalued", "item", 2, 4, 3),  # 4, 5 to 7
        field("tags", "multivalued", "item", 2, 8, 70),  # 8, 9 to 78
        field("history", "sequence", "history", 2, 79, 2),
        field("taste", "profile", "history", 2, 82, 2),
        field("price", "numeric", "row", 1, 85, 1),  # 85 (missing), 86
    ),
)


@pytest.fixture
def dataset() -> EncodedDataset:
    """One known and one unknown user with two rows each; the first likes both of theirs."""
    numbers = np.array([[0.5], [np.nan], [-2.0], [0.0]], dtype=np.float32)
    return EncodedDataset(
        schema=SCHEMA,
        task_labels=np.array([[1], [1], [0], [0]], dtype=np.float32),
        timestamps=np.arange(4),
        source_rows=np.arange(4),
        user_offsets=np.array([0, 2, 4]),
        user_names=("a", "b"),
        cells=numbers.view(np.int32),
        items=np.array([0, 1, 1, 0], dtype=np.int32),
        user_cells=np.array([[3], [1]], dtype=np.int32),
        item_cells=np.array([[5, 7, 9, 0], [6, 0, 70, 71]], dtype=np.int32),
        liked=np.array([80, 81], dtype=np.int32),
        liked_offsets=np.array([0, 2, 2]),
        history_sizes=np.array([0, 1, 0, 0], dtype=np.int32),
        profiles=np.array([[0, 0], [0.25, 0.75], [0.5, 0.5], [0, 0]], dtype=np.float32),
    )


def test_a_table_has_names_and_whole_categories(dataset: EncodedDataset) -> None:
    table, categories = row_table(dataset, np.array([3, 0]))
    names = ["user", "genres_0", "genres_1", "genres_2", "tags", "history", "taste_0", "taste_1"]
    assert [*table] == [*names, "price"]
    assert categories == ["user"]
    assert [dtype.kind for dtype in table.dtypes] == ["i", *("f" * 8)]
    np.testing.assert_array_equal(table, row_features(dataset, np.array([3, 0]), None).values)


def test_columns_by_hand(dataset: EncodedDataset) -> None:
    found = row_features(dataset, np.arange(4), None)
    expected = [
        # user, genres x 3, number of tags, length of history, taste x 2, price
        [2, 1, 0, 1, 1, 0, 0, 0, 0.5],
        [2, 0, 1, 0, 2, 1, 0.25, 0.75, np.nan],
        [0, 0, 1, 0, 2, 0, 0, 0, -2],
        [0, 1, 0, 1, 1, 0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(found.values, expected)
    assert found.values.dtype == np.float32
    assert found.categorical == (0,)


def test_histories_stop_at_their_limit(dataset: EncodedDataset) -> None:
    values = row_features(dataset, np.array([1]), np.array([0])).values
    np.testing.assert_array_equal(values[:, 5:8], [[0, 0, 0]])


def test_pieces_are_the_whole(dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, limits = np.array([3, 1, 0]), np.array([9, 0, 9])
    whole = row_features(dataset, rows, limits).values
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    np.testing.assert_array_equal(row_features(dataset, rows, limits).values, whole)


def test_no_rows(dataset: EncodedDataset) -> None:
    assert row_features(dataset, np.array([], dtype=np.int64), None).values.shape == (0, 9)


def test_labels_are_not_read(dataset: EncodedDataset) -> None:
    before = row_features(dataset, np.arange(4), None).values
    dataset.task_labels[:] = 1 - dataset.task_labels
    np.testing.assert_array_equal(row_features(dataset, np.arange(4), None).values, before)

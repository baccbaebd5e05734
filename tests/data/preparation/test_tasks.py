"""Several tasks, and logs that have only positives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metaselector.common.errors import ConfigError, DataError
from metaselector.data.interactions import InteractionTable, Negatives, Task
from metaselector.data.preparation.encode import Settings, encode
from metaselector.data.splitting.windows import Windows

from .conftest import decoded

MakeTable = Callable[..., InteractionTable]

SETTINGS = Settings(Windows(early=25, train=50, valid=75))

ROWS = [("ann", f"i{t % 4 + 1}", 5.0 * (t % 2), 1000 * t) for t in range(8)]
"""Train is rows 0 to 3, where items i1 to i4 occur once each."""


@pytest.fixture
def table(make_table: MakeTable) -> InteractionTable:
    return make_table(ROWS, len(ROWS))


def test_tasks_and_their_masks(table: InteractionTable) -> None:
    def read() -> Any:
        (block,) = table.read()
        more = np.array([1, np.nan, 0, 1, np.nan, 1, 0, 0])[:, None]
        yield block._replace(labels=np.concatenate([block.labels, more], axis=1))

    tasks = (Task("rating"), Task("bought", 0.5))
    dataset = encode(replace(table, read=read, tasks=tasks), SETTINGS)
    assert dataset.schema.tasks == ("rating", "bought")
    assert dataset.labels.tolist() == dataset.task_labels[:, 0].tolist() == [0, 1] * 4
    bought = dataset.task_labels[:, 1]
    assert np.array_equal(bought, [1, np.nan, 0, 1, np.nan, 1, 0, 0], equal_nan=True)


def _with_bought(table: InteractionTable, bought: list[float]) -> InteractionTable:
    """The table with a second task, observed where the first one is positive."""

    def read() -> Any:
        (block,) = table.read()
        yield block._replace(labels=np.column_stack([block.labels[:, 0], bought]))

    return replace(table, read=read, tasks=(Task("rating"), Task("bought", 0.5, "rating")))


def test_tasks_after_another(table: InteractionTable) -> None:
    positive = [bool(rating >= 4) for rating in table.interactions["rating"]]
    bought = [float(place % 3 > 0) if yes else np.nan for place, yes in enumerate(positive)]
    dataset = encode(_with_bought(table, bought), SETTINGS)
    assert dataset.schema.task_after == (-1, 0)
    assert dataset.schema.parents == (None, 0)
    observed = ~np.isnan(dataset.task_labels[:, 1])
    assert np.array_equal(observed, dataset.labels == 1)
    labels = dataset.label(np.array([[0, 1], [2, 3]]))
    assert labels.shape == (2, 2, 2)
    assert np.array_equal(labels.reshape(4, 2), dataset.task_labels[:4], equal_nan=True)


def test_a_label_after_one_that_is_not_positive_is_refused(table: InteractionTable) -> None:
    positive = table.interactions["rating"].to_numpy() >= 4
    first = int(np.flatnonzero(~positive)[0])
    with pytest.raises(DataError) as error:
        encode(_with_bought(table, [0.0] * 8), SETTINGS)
    assert str(error.value) == (
        f"tiny.csv:{first + 1} (column bought): has a label, although task 'rating', which must "
        "be positive first, is not; leave it empty"
    )


@pytest.mark.parametrize("after", ["bought", "ratting", "later"])
def test_a_task_comes_after_an_earlier_one(table: InteractionTable, after: str) -> None:
    tasks = (Task("rating"), Task("bought", 0.5, after), Task("later"))
    with pytest.raises(ConfigError, match=rf"'bought' comes after '{after}'.*'?rating'?"):
        encode(replace(table, tasks=tasks), SETTINGS)


def test_a_log_of_positives(make_table: MakeTable) -> None:
    """Histories contain only true positives; windows and batches also contain the negatives."""
    rows = [(user, f"i{t}", 0.0, t) for user in ("ann", "bob") for t in range(user == "bob", 8)]
    table = replace(
        make_table(rows, 99), negatives=Negatives(1), item_features=(), user_features=()
    )
    dataset = encode(table, SETTINGS)
    # bob misses i0, and ann has seen everything.
    assert dataset.labels.tolist() == [1] * 8 + [1, 0] * 7
    assert table.repairs == [
        "tiny.csv: 8 negatives were not sampled, because their users have seen nearly every item"
    ]
    history = decoded(dataset, "history_items")
    # The test window starts at bob's row 10, and a negative does not see its positive.
    assert [len(row) for row in history[8:]] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5]

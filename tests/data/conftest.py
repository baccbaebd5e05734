"""Small hand-made worlds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.data.dataset import EncodedDataset
from metaselector.data.interactions import InteractionTable
from metaselector.data.schema import Field, Schema

Row = tuple[str, str, float, int]
"""User, item, rating, timestamp."""

USERS = {"ann": ("24", "F", "artist"), "bob": ("", "M", "writer")}
ITEMS = {
    "i1": ("One (1995)", "1995", ("Drama", "War")),
    "i2": ("Two (1996)", "1996", ("Comedy",)),
    "i3": ("Three", "", ()),
    "i4": ("Four (1999)", "1999", ("Drama", "Comedy", "War")),
}


def table_of(rows: Sequence[Row]) -> InteractionTable:
    """A table in which row i of the file is on line i + 1."""
    columns = ["user", "item", "rating", "timestamp"]
    interactions = pd.DataFrame(rows, columns=columns).astype(
        {"user": "str", "item": "str", "rating": np.float64, "timestamp": np.int64}
    )
    interactions["line"] = np.arange(1, len(rows) + 1)
    return InteractionTable(
        "tiny",
        Path("tiny.csv"),
        interactions,
        pd.DataFrame.from_dict(USERS, orient="index", columns=["age", "gender", "occupation"]),
        pd.DataFrame.from_dict(ITEMS, orient="index", columns=["title", "release_year", "genres"]),
    )


def dataset_of(rows_per_user: Sequence[int]) -> EncodedDataset:
    """One slot a row, whose id is 1 + the row's position; labels alternate."""
    n = sum(rows_per_user)
    words = tuple(str(i) for i in range(n - 1))  # with the unseen word, n ids
    return EncodedDataset(
        schema=Schema(
            dataset="counted",
            label_threshold=1,
            history_length=0,
            windows=(60, 80, 90),
            fields=(Field(name="row", kind="categorical", slots=1, first_id=1, vocabulary=words),),
        ),
        ids=np.arange(1, n + 1, dtype=np.int32)[:, None],
        values=np.ones((n, 1), dtype=np.float32),
        labels=(np.arange(n) % 2).astype(np.float32),
        timestamps=np.arange(n),
        source_rows=np.arange(n),
        user_offsets=np.concatenate([[0], np.cumsum(rows_per_user)]).astype(np.int64),
        user_names=tuple(f"user {u}" for u in range(len(rows_per_user))),
    )


@pytest.fixture(scope="session")
def make_table() -> Callable[[Sequence[Row]], InteractionTable]:
    return table_of


@pytest.fixture(scope="session")
def make_dataset() -> Callable[[Sequence[int]], EncodedDataset]:
    return dataset_of

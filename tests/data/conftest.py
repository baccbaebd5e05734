"""Small hand-made data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
from metaselector.data.interactions import Feature, Interactions, InteractionTable
from metaselector.data.microseconds import SECOND

Row = tuple[str, str, float, int]
"""User, item, rating, timestamp in seconds."""

USERS = {"ann": ("24", "F", "artist"), "bob": ("", "M", "writer")}
ITEMS = {
    "i1": ("One (1995)", "1995", ("Drama", "War")),
    "i2": ("Two (1996)", "1996", ("Comedy",)),
    "i3": ("Three", "", ()),
    "i4": ("Four (1999)", "1999", ("Drama", "Comedy", "War")),
}


def table_of(rows: Sequence[Row], block_rows: int = 3) -> InteractionTable:
    """A table in which row i of the file is on line i + 1, read `block_rows` at a time."""

    def read() -> Iterator[Interactions]:
        for start in range(0, max(len(rows), 1), block_rows):  # no rows are one empty block
            block = rows[start : start + block_rows]
            users, items, ratings, times = zip(*block, strict=True) if block else ([], [], [], [])
            yield Interactions(
                pa.array(users, pa.string()),
                pa.array(items, pa.string()).dictionary_encode(),
                np.array(ratings, dtype=np.float64)[:, None],
                np.array(times, dtype=np.int64) * SECOND,
                np.arange(start + 1, start + 1 + len(block)),
            )

    items = pd.DataFrame.from_dict(
        ITEMS, orient="index", columns=["title", "release_year", "genres"]
    )
    return InteractionTable(
        "tiny",
        Path("tiny.csv"),
        read,
        pd.DataFrame.from_dict(USERS, orient="index", columns=["age", "gender", "occupation"]),
        lambda names: items,
        user_features=(Feature("age"), Feature("gender"), Feature("occupation")),
        item_features=(Feature("genres", "multivalued", profile=True), Feature("release_year")),
    )


def dataset_of(rows_per_user: Sequence[int]) -> EncodedDataset:
    """One slot a row, whose id is 1 + the row's position; labels alternate."""
    n = sum(rows_per_user)
    words = tuple(str(i) for i in range(n - 1))  # with the unseen word, n ids
    return EncodedDataset.of_rows(
        Schema(
            dataset="counted",
            label_threshold=1,
            history_length=0,
            windows=(60, 80, 90),
            fields=(Field(name="row", kind="categorical", slots=1, first_id=1, vocabulary=words),),
        ),
        cells=np.arange(1, n + 1, dtype=np.int32)[:, None],
        labels=(np.arange(n) % 2).astype(np.float32),
        user_offsets=np.concatenate([[0], np.cumsum(rows_per_user)]).astype(np.int64),
        user_names=tuple(f"user {u}" for u in range(len(rows_per_user))),
    )


@pytest.fixture(scope="session")
def make_table() -> Callable[[Sequence[Row]], InteractionTable]:
    return table_of


@pytest.fixture(scope="session")
def make_dataset() -> Callable[[Sequence[int]], EncodedDataset]:
    return dataset_of

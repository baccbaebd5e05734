"""The interaction table, read in blocks and as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from metaselector.common.errors import DataError
from metaselector.data.interactions import (
    Feature,
    Interactions,
    InteractionTable,
    Task,
    nothing_known,
)

Row = tuple[str, str, float, int]
MakeTable = Callable[[list[Row], int], InteractionTable]
ROWS = [("ann", "i1", 4.0, 7), ("bob", "i3", 1.5, 9), ("ann", "i3", 3.0, 8)]


@pytest.mark.parametrize("block_rows", [1, 2, 3])
def test_blocks_are_one_frame(make_table: MakeTable, block_rows: int) -> None:
    table = make_table(ROWS, block_rows)
    expected = pd.DataFrame(ROWS, columns=["user", "item", "rating", "timestamp"])
    expected = expected.astype({"user": "str", "item": "str"}).assign(line=[1, 2, 3])
    pd.testing.assert_frame_equal(table.interactions, expected)
    assert table.interactions is table.interactions  # read once


def test_a_frame_without_rows_has_the_columns(make_table: MakeTable) -> None:
    frame = make_table([], 3).interactions
    assert list(frame) == ["user", "item", "rating", "timestamp", "line"]
    assert len(frame) == 0


def test_a_column_for_each_task_and_feature() -> None:
    block = Interactions(
        pa.array(["ann"]),
        pa.array(["i1"]),
        np.array([[1.0, np.nan]]),
        np.array([7_000_000]),
        np.array([2]),
        {"page": pa.array(["home"]).dictionary_encode(), "price": pa.array([2.5])},
    )
    table = InteractionTable(
        "tiny",
        Path("tiny.csv"),
        lambda: iter([block, block]),
        nothing_known("user"),
        lambda names: nothing_known("item"),
        tasks=(Task("click"), Task("buy")),
        features=(Feature("page"), Feature("price", "numeric")),
    )
    row = {"user": "ann", "item": "i1", "click": 1.0, "buy": np.nan, "timestamp": 7, "line": 2}
    expected = pd.DataFrame([row | {"page": "home", "price": 2.5}] * 2)
    pd.testing.assert_frame_equal(table.interactions, expected)


def test_items_are_asked_for_those_that_occur(make_table: MakeTable) -> None:
    asked: list[str] = []

    def describe_items(names: Iterable[str]) -> pd.DataFrame:
        asked.extend(names)
        return nothing_known("item")

    table = replace(make_table(ROWS, 2), describe_items=describe_items)
    assert table.items is table.items
    assert asked == ["i1", "i3"]


def test_a_table_without_rows_is_an_error(make_table: MakeTable) -> None:
    empty = replace(make_table(ROWS, 1), read=lambda: iter(()))
    with pytest.raises(DataError, match="the file contains no interactions"):
        _ = empty.interactions

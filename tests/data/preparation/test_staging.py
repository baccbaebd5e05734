"""Interactions staged on disk, and read back user by user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.data.interactions import Feature, Interactions, InteractionTable, Task
from metaselector.data.microseconds import SECOND
from metaselector.data.preparation import staging
from metaselector.data.preparation.staging import stage, whole_users
from metaselector.data.preparation.staging_types import Lines

MakeTable = Callable[[Sequence[tuple[str, str, float, int]]], InteractionTable]

rows = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cy"]),
        st.sampled_from(["i1", "i2"]),
        st.sampled_from([1.0, 5.0]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows, st.integers(1, 31), st.integers(1, 3))
def test_groups_are_whole_users_in_order_of_appearance_and_time(
    make_table: MakeTable,
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, float, int]],
    at_once: int,
    users_in_file: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "ROWS_AT_ONCE", at_once)
        patch.setattr(staging, "USERS_IN_FILE", users_in_file)
        folder = tmp_path_factory.mktemp("staged")
        staged = stage(make_table(rows), folder, 4.0)
        groups = list(whole_users(staged))
        again = list(whole_users(staged))
    users = list(dict.fromkeys(user for user, *_ in rows))
    assert staged.users == users
    assert len(staged) == len(rows)
    assert staged.user_rows.tolist() == [sum(r[0] == user for r in rows) for user in users]
    assert staged.item_rows.tolist() == [sum(r[1] == i for r in rows) for i in staged.items]
    expected = sorted(range(len(rows)), key=lambda i: (users.index(rows[i][0]), rows[i][3], i))
    records = np.concatenate(groups)
    assert records["row"].tolist() == expected
    assert [staged.lines.of(row) for row in range(len(rows))] == list(range(1, len(rows) + 1))
    assert np.array_equal(records, np.concatenate(again))
    for record in records:
        user, item, rating, time = rows[record["row"]]
        assert (staged.users[record["user"]], staged.items[record["item"]]) == (user, item)
        assert (record["labels"][0], record["time"] / SECOND) == (rating >= 4, time)
    seen = [set(group["user"].tolist()) for group in groups]
    assert sum(map(len, seen)) == len(set().union(*seen))  # no user is in two groups
    most = max(staged.user_rows)
    assert all(len(group) <= 5 * at_once + most for group in groups)


def with_labels(table: InteractionTable, labels: list[list[float]]) -> InteractionTable:
    def read() -> Any:
        (block,) = table.read()
        yield block._replace(labels=np.array(labels))

    return replace(table, read=read, tasks=(Task("clicked", 0.5), Task("bought")))


def test_each_task_has_its_threshold_and_its_mask(make_table: Any, tmp_path: Path) -> None:
    table = make_table([("ann", "i1", 0.0, t) for t in range(3)], 3)
    table = with_labels(table, [[1, np.nan], [0, 3], [0.5, 4]])
    (records,) = whole_users(stage(table, tmp_path, 4.0))
    assert np.array_equal(records["labels"], [[1, np.nan], [0, 0], [1, 1]], equal_nan=True)


def test_the_first_task_must_be_observed(make_table: Any, tmp_path: Path) -> None:
    table = make_table([("ann", "i1", 0.0, t) for t in range(3)], 3)
    table = with_labels(table, [[1, np.nan], [np.nan, 3], [0.5, 4]])
    with pytest.raises(DataError, match=r"tiny\.csv:2 \(column clicked\): the label is missing"):
        stage(table, tmp_path, 4.0)


def test_a_table_without_rows(make_table: MakeTable, tmp_path: Path) -> None:
    def nothing() -> Any:
        yield from ()

    for table in (make_table([]), replace(make_table([]), read=nothing)):
        with pytest.raises(DataError, match=r"tiny\.csv: the file contains no interactions"):
            stage(table, tmp_path, 4.0)


def test_words_are_codes_and_numbers_stay(make_table: Any, tmp_path: Path) -> None:
    bare = make_table([("ann", "i1", 0.0, t) for t in range(3)], 3)
    features = {
        "device": pa.array(["phone", None, "phone"]),
        "price": pa.array([1.5, np.nan, 2.0]),
        "tags": pa.array(["a|b", "", "b"]).dictionary_encode(),
    }

    def read() -> Any:
        (block,) = bare.read()
        yield Interactions(*block[:5], features)

    kinds = {"device": "categorical", "price": "numeric", "tags": "multivalued"}
    table = replace(bare, read=read, features=tuple(Feature(n, k) for n, k in kinds.items()))
    staged = stage(table, tmp_path, 4.0)
    assert staged.words == [["phone"], ["a|b", "b"]]
    (records,) = whole_users(staged)
    assert records["words"].tolist() == [[0, 0], [-1, -1], [0, 1]]
    assert np.array_equal(records["numbers"][:, 0], [1.5, np.nan, 2.0], equal_nan=True)


@given(st.lists(st.lists(st.integers(1, 9), max_size=5), max_size=5))
def test_lines_are_remembered(blocks: list[list[int]]) -> None:
    lines, row = Lines(), 0
    for block in blocks:
        lines.add(row, np.array(block, dtype=np.int64))
        row += len(block)
    expected = [line for block in blocks for line in block]
    assert [lines.of(row) for row in range(len(expected))] == expected


def test_lines_that_follow_each_other_take_no_memory() -> None:
    lines = Lines()
    for start in range(0, 1000, 10):
        lines.add(start, np.arange(start, start + 10) + 2)
    assert len(lines._rows) == 1

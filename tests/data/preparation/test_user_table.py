"""Users on disk are counted and grouped as in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from metaselector.common.errors import DataError
from metaselector.data.preparation import user_table
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.preparation.user_table import UserTable
from metaselector.data.raw.columns import RawBlock

ENCODER: Any = SimpleNamespace(
    rows=SimpleNamespace(column=lambda name: "who"), vocabularies={"user": {"u0": None, "u3": None}}
)


def rows_of(users: list[str | None], rows: int = 3) -> RawRows:
    blocks = []
    for start in range(0, len(users), rows):
        part = users[start : start + rows]
        lines = np.arange(start + 1, start + len(part) + 1)
        blocks.append(RawBlock(Path("rows"), lines, {"who": pa.array(part, pa.string())}))
    return RawRows(Path("rows"), ("who",), tuple(blocks))


@pytest.fixture
def table() -> Iterator[UserTable]:
    with UserTable(ENCODER) as opened:
        yield opened


def test_strangers_in_order_of_their_first_row(table: UserTable) -> None:
    history = ["u9", "u0", "\0", "u9", " u", "\0", "ü", "u", "u3"]
    table.add(0, rows_of(history))
    table.add(1, rows_of(["u0", "u3", "u0"]))
    table.add(1, rows_of(["never added"]))
    assert table.sizes == [9, 3]
    unknown = table.unknown(0)
    assert (unknown.column, unknown.what, unknown.usual) == ("who", "users", True)
    assert (unknown.found, len(unknown.strangers)) == (7, 5)
    assert list(unknown.strangers) == ["u9", "\0", " u", "ü"]  # as many as messages show, and one
    assert (table.unknown(1).found, len(table.unknown(1).strangers)) == (2, 0)
    assert list(table.few(1)) == ["u0", "u3"]


@pytest.mark.parametrize(
    ("history", "candidates", "apart"),
    [("ab", "cd", True), ("ab", "cb", False), ("", "a", False), ("a", "", False)],
)
def test_whether_any_user_is_in_both(
    table: UserTable, history: str, candidates: str, apart: bool
) -> None:
    table.add(0, rows_of(list(history)))
    table.add(1, rows_of(list(candidates)))
    assert table.apart == apart


@pytest.mark.parametrize("batch", [1, 10, 10**6])
@pytest.mark.parametrize(("users", "rows"), [(1, 10**6), (7, 10**6), (10**6, 10**6), (10**6, 40)])
def test_groups_are_of_whole_users_in_order(
    table: UserTable, monkeypatch: pytest.MonkeyPatch, batch: int, users: int, rows: int
) -> None:
    monkeypatch.setattr(user_table, "_BATCH", batch)
    draw = np.random.default_rng(0)
    parts = [[f"u{k}" for k in draw.integers(low, low + 30, 200)] for low in (0, 20)]
    for place, part in enumerate(parts):
        table.add(place, rows_of(part, 64))
    order, seen = list(dict.fromkeys([*parts[0], *parts[1]])), 0
    for group in table.groups(users, rows):
        expected = order[seen : seen + users]
        members = {part[row] for part, of in zip(parts, group, strict=True) for row in of}
        if rows < 10**6:
            expected = expected[: len(members)]
            assert sum(map(len, group)) < rows + 400 / 20  # with the rows of the last user
        assert members == set(expected)
        for part, of in zip(parts, group, strict=True):
            assert of.tolist() == [row for row, user in enumerate(part) if user in members]
        seen += len(members)
    assert seen == len(order)


def test_a_user_without_a_name_is_named(table: UserTable) -> None:
    with pytest.raises(DataError, match=r"rows:5 \(column who\): is empty"):
        table.add(0, rows_of(["a", "b", "c", "d", None]))

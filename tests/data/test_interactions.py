"""Rows that are there twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from metaselector.data.interactions import InteractionTable, without_repeats

MakeTable = Callable[[Sequence[tuple[str, str, float, int]]], InteractionTable]


def test_the_first_of_repeated_rows_stays(make_table: MakeTable) -> None:
    rows = [
        ("ann", "i1", 4.0, 7),
        ("ann", "i2", 4.0, 7),
        ("bob", "i1", 4.0, 7),
        ("ann", "i1", 4.0, 8),
        ("ann", "i1", 4.0, 7),
        ("bob", "i1", 1.0, 7),  # another rating, the same event
    ]
    table = without_repeats(make_table(rows))
    assert table.interactions.index.tolist() == [0, 1, 2, 3]
    assert table.interactions["line"].tolist() == [1, 2, 3, 4]
    assert table.repairs == (
        "tiny.csv: 2 rows repeat the user, item and time of an earlier row (the first in line 5); "
        "dropped",
    )


@pytest.mark.parametrize("rows", [[], [("ann", "i1", 4.0, 7), ("ann", "i1", 4.0, 8)]])
def test_without_any_nothing_changes(
    make_table: MakeTable, rows: list[tuple[str, str, float, int]]
) -> None:
    table = make_table(rows)
    assert without_repeats(table) is table

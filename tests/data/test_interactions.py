"""Rows that are there twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


few = st.tuples(
    st.sampled_from(["ann", "bob"]),
    st.sampled_from(["i1", "i2", "i3"]),
    st.sampled_from([1.0, 5.0]),
    st.integers(0, 2),
)


@given(rows=st.lists(few, max_size=12))
def test_equals_a_look_at_every_earlier_row(
    make_table: MakeTable, rows: list[tuple[str, str, float, int]]
) -> None:
    seen: set[tuple[str, str, int]] = set()
    kept = []
    for position, (user, item, _, time) in enumerate(rows):
        if (user, item, time) not in seen:
            kept.append(position)
        seen.add((user, item, time))
    assert without_repeats(make_table(rows)).interactions.index.tolist() == kept

"""Repeated rows, and users with a single row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.data.microseconds import DAY
from metaselector.data.preparation.cleaning import Cleaning
from metaselector.data.preparation.staging_types import Lines, StagedRows, staged_type

SOURCE = Path("tiny.csv")
USERS = ["ann", "bob", "cy"]
LINES = Lines()
LINES.add(0, np.arange(2, 100))
Row = tuple[int, int, int]
"""User, item, time."""


def records_of(rows: list[Row], first: int = 0) -> StagedRows:
    """Sorted as groups of whole users are; row i of the file is on line i + 2."""
    records = np.zeros(len(rows), staged_type(1, 0, 0))
    for i, (user, item, time) in enumerate(rows):
        record = records[i]
        record["user"], record["item"], record["time"] = user, item, time
        record["row"] = first + i
    return records[np.lexsort((records["time"], records["user"]))]


def test_the_first_of_repeated_rows_stays() -> None:
    rows = [(0, 1, 7), (0, 2, 7), (1, 1, 7), (0, 1, 8), (0, 1, 7), (1, 1, 7), (1, 2, 7)]
    cleaning = Cleaning(SOURCE, "refuse")
    assert cleaning.clean(records_of(rows))["row"].tolist() == [0, 1, 3, 2, 6]
    assert cleaning.repairs(USERS, LINES) == [
        "tiny.csv: 2 rows repeat the user, item and time of an earlier row (the first in line 6); "
        "dropped"
    ]


def test_groups_are_counted_together() -> None:
    cleaning = Cleaning(SOURCE, "drop")
    cleaning.clean(records_of([(0, 1, 7), (0, 1, 7), (0, 1, 8)], first=10))
    cleaning.clean(records_of([(1, 1, 7), (1, 1, 7), (2, 1, 7)], first=3))
    assert cleaning.repairs(USERS, LINES) == [
        "tiny.csv: 2 rows repeat the user, item and time of an earlier row (the first in line 6); "
        "dropped",
        "tiny.csv: 2 users with a single row dropped",
    ]


def test_counts_of_groups_add_up() -> None:
    groups = [
        records_of([(0, 1, 7), (0, 1, 8), (0, 2, 9)], first=20),
        records_of([(1, 1, 7), (1, 1, 7), (1, 1, 8), (2, 1, 7)], first=10),
        records_of([(3, 1, 7), (3, 1, 7), (3, 1, 8), (4, 1, 7)]),
    ]
    together = Cleaning(SOURCE, "drop")
    added = Cleaning(SOURCE, "drop")
    for group in groups:
        apart = Cleaning(SOURCE, "drop")
        assert (apart.clean(group)["row"] == together.clean(group)["row"]).all()
        added.add(apart)
    assert added == together


def test_a_user_of_a_single_row_is_named() -> None:
    cleaning = Cleaning(SOURCE, "refuse")
    kept = cleaning.clean(records_of([(0, 1, 1), (0, 1, 2), (1, 1, 3), (2, 1, 4)]))
    assert kept["user"].tolist() == [0, 0]
    with pytest.raises(DataError, match=r"tiny\.csv:4 \(column user\): user 'bob'.*\(2 such"):
        cleaning.repairs(USERS, LINES)


def test_users_below_a_minimum_are_counted() -> None:
    cleaning = Cleaning(SOURCE, "refuse", min_user_rows=3)
    rows = [(0, 1, 7), (0, 2, 8), (0, 2, 8), (1, 1, 5), (1, 1, 6), (1, 2, 4), (2, 1, 7)]
    assert cleaning.clean(records_of(rows))["row"].tolist() == [5, 3, 4]
    _, dropped = cleaning.repairs(USERS, LINES)
    assert dropped == (
        "tiny.csv: 2 users with fewer than 3 rows dropped, with 3 rows (data.min_user_rows)"
    )
    assert cleaning.notes() == [  # of the rows that are left
        "tiny.csv: 1 of 3 rows come in the file before an older row of their user; this does no "
        "harm, because each user's rows are sorted by time"
    ]


def test_a_minimum_that_drops_everybody_is_an_error() -> None:
    cleaning = Cleaning(SOURCE, "refuse", min_user_rows=1_000)
    assert not len(cleaning.clean(records_of([(0, 1, 7), (0, 2, 8)])))
    with pytest.raises(DataError, match=r"no user has 1,000 rows or more; set data\.min_user"):
        cleaning.repairs(USERS, LINES)


def notes_of(*groups: list[Row]) -> list[str]:
    cleaning = Cleaning(SOURCE, "drop")
    for rows in groups:
        cleaning.clean(records_of(rows))
    return cleaning.notes()


def test_notes_about_tied_times() -> None:
    calm = [(0, item, item) for item in range(8)]
    assert notes_of(calm, [(1, 1, 7), (1, 2, 7)]) == [
        "tiny.csv: 20 % of the rows (2 of 10) share their time with another row of their user: "
        "these keep the order of the file; if that order is wrong, provide exact times"
    ]
    repeated = (1, 1, 7)
    assert notes_of(calm, [repeated, repeated, (1, 2, 8), (1, 3, 9)]) == []
    assert notes_of(calm, calm, [(1, 1, 7), (1, 2, 7)]) == []  # one in nine
    (note,) = notes_of([(0, item, DAY * item) for item in range(9)], [(1, 1, DAY), (1, 2, DAY)])
    assert "share their time with another row of their user, as all times are dates: these" in note


def test_rows_before_older_ones_are_counted() -> None:
    rows = [(0, 1, 8), (0, 2, 7), (1, 1, 6), (0, 1, 9), (1, 1, 5)]
    assert notes_of(rows) == [
        "tiny.csv: 2 of 5 rows come in the file before an older row of their user; this does no "
        "harm, because each user's rows are sorted by time"
    ]
    (note,) = notes_of([*rows, (0, 5, 7)])
    assert "keep the order of the file, which is not sorted by time; if that order is" in note


@pytest.mark.parametrize("rows", [[], [(0, 1, 7), (0, 1, 8)]])
def test_without_any_nothing_changes(rows: list[Row]) -> None:
    cleaning = Cleaning(SOURCE, "refuse")
    assert np.array_equal(cleaning.clean(records_of(rows)), records_of(rows))
    assert cleaning.repairs(USERS, LINES) == []


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), max_size=14),
    st.integers(1, 5),
)
def test_equals_a_look_at_every_earlier_row(rows: list[Row], fewest: int) -> None:
    first: dict[Row, int] = {}
    for position, row in enumerate(rows):
        first.setdefault(row, position)
    users = [user for user, *_ in first]
    expected = {i for row, i in first.items() if users.count(row[0]) >= max(fewest, 2)}
    cleaning = Cleaning(SOURCE, "drop", fewest)
    kept = cleaning.clean(records_of(rows))
    assert set(kept["row"].tolist()) == expected
    assert kept["row"].tolist() == [i for i in records_of(rows)["row"] if i in expected]

"""Lists of staged records: their order, their times, and lists that repeat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.data.preparation.cleaning import Cleaning
from metaselector.data.preparation.lists import (
    check_times,
    list_offsets,
    list_starts,
    repeated_lists,
    together,
)
from metaselector.data.preparation.staging_types import Lines, StagedRows, staged_type

SOURCE = Path("tiny.csv")


def records_of(rows: Sequence[tuple[int, int, int, int]]) -> StagedRows:
    """Records of (user, time, list, item), in the order of the file."""
    records = np.zeros(len(rows), staged_type(1, 0, 0, lists=True))
    for name, values in zip(("user", "time", "list", "item"), zip(*rows, strict=True), strict=True):
        records[name] = values
    records["row"] = np.arange(len(rows))
    return records


def cleaned(rows: Sequence[tuple[int, int, int, int]], **settings: int) -> tuple[list[int], str]:
    """Rows that are kept, and what is said of the others."""
    cleaning = Cleaning(SOURCE, "drop", **settings)
    kept = cleaning.clean(records_of(rows))
    lines = Lines()
    lines.add(0, np.arange(1, len(rows) + 1))
    said = cleaning.repairs([f"u{user}" for user in range(9)], lines)
    return kept["row"].tolist(), "; ".join(said)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3), st.integers(0, 9)),
        min_size=1,
        max_size=30,
    )
)
def test_rows_of_a_list_come_together(rows: list[tuple[int, int, int, int]]) -> None:
    records = records_of(sorted(rows, key=lambda row: row[:2]))  # as staging sorts them
    order = together(records)
    found = records if order is None else records[order]
    assert sorted(found["row"]) == list(range(len(rows)))
    keys = [tuple(one) for one in found[["user", "time", "list"]].tolist()]
    starts = [i for i in range(len(keys)) if not i or keys[i] != keys[i - 1]]
    assert len(starts) == len(set(keys))  # no list is in two pieces
    assert [key[:2] for key in keys] == sorted(key[:2] for key in keys)
    first = [int(found["row"][i]) for i in starts]
    for (a, key), (b, other) in zip(
        zip(first, [keys[i] for i in starts], strict=True),
        list(zip(first, [keys[i] for i in starts], strict=True))[1:],
        strict=False,
    ):
        assert key[:2] != other[:2] or a < b  # lists of one second: as in the file
    assert np.flatnonzero(list_starts(found)).tolist() == starts
    offsets = list_offsets(found)
    assert offsets is not None
    assert offsets.tolist() == [*starts, len(rows)]


def test_a_list_of_two_times_is_an_error() -> None:
    records = records_of([(0, 5, 1, 1), (0, 6, 1, 2), (1, 7, 1, 2)])  # user 1 has another list 1
    with pytest.raises(DataError, match=r"tiny\.csv:12: has another time than line 11, which"):
        check_times(SOURCE, records, lambda row: row + 11)
    check_times(SOURCE, records[[0, 2]], lambda row: row)


def test_lists_that_repeat_are_dropped_whole() -> None:
    rows = [(0, 5, 1, 1), (0, 5, 1, 2), (0, 5, 2, 2), (0, 5, 2, 1), (0, 5, 3, 1), (0, 5, 3, 3)]
    assert repeated_lists(records_of(rows)).tolist() == [False] * 2 + [True] * 2 + [False] * 2
    kept, said = cleaned(rows)
    assert kept == [0, 1, 4, 5]  # list 3 shares an item with list 1, but is not cut
    assert said == (
        "tiny.csv: 2 rows repeat the user, item and time of an earlier row (the first in line 3); "
        "dropped"
    )


def test_an_item_counts_once_in_a_list() -> None:
    assert cleaned([(0, 5, 1, 1), (0, 5, 1, 1), (0, 6, 2, 1)])[0] == [0, 2]


def test_users_with_few_lists_are_dropped() -> None:
    rows = [(0, 5, 1, 1), (0, 6, 2, 1), (1, 5, 3, 1), (1, 5, 3, 2), (1, 5, 3, 3)]
    kept, said = cleaned(rows)
    assert kept == [0, 1]  # one list cannot be split, however long it is
    assert said == "tiny.csv: 1 user with a single list dropped"
    rows += [(0, 7, 4, 1)]
    rows.sort()
    kept, said = cleaned(rows, min_user_lists=3)
    assert kept == [0, 1, 2]
    assert said == (
        "tiny.csv: 1 user with fewer than 3 lists dropped, with 3 rows (data.min_user_lists)"
    )
    with pytest.raises(DataError, match=r"no user has 9 lists or more; set data\.min_user_lists"):
        cleaned(rows, min_user_lists=9)


def test_rows_of_a_list_are_not_ties() -> None:
    cleaning = Cleaning(SOURCE, "drop")
    cleaning.clean(records_of([(0, 5, 1, 1), (0, 5, 1, 2), (0, 6, 2, 1)]))
    assert cleaning.notes() == []
    cleaning = Cleaning(SOURCE, "drop")
    cleaning.clean(records_of([(0, 5, 1, 1), (0, 5, 1, 2), (0, 5, 2, 3)]))
    assert "100 % of the lists (2 of 2) share their time" in cleaning.notes()[0]

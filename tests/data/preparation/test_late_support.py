"""Candidates older than, or part of, the support set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metaselector.data.preparation.late_support import late_support
from metaselector.data.preparation.new_rows import NewRows
from tests.data.conftest import dataset_of

Row = tuple[int, int]
"""Item and time."""


def said(history: list[list[Row]], candidates: list[list[Row]], support_size: int = 9) -> list[str]:
    """Of the rows of some users."""
    users = [
        sorted([(t, 0, i) for i, t in old] + [(t, 1, i) for i, t in new])
        for old, new in zip(history, candidates, strict=True)
    ]
    time, asked, item = np.array([row for user in users for row in user]).T
    dataset = replace(dataset_of([len(user) for user in users]), timestamps=time, items=item)
    rows = NewRows(dataset, np.flatnonzero(asked == 0), np.flatnonzero(asked))
    return list(late_support(rows, rows.episodes(support_size)))


def test_later_rows_need_no_warning() -> None:
    assert said([[(0, 1), (1, 5)], [(2, 9)]], [[(2, 5), (3, 6)], [(0, 9)]]) == []
    assert said([[], []], [[(2, 5)], [(0, 9)]]) == []


def test_older_candidates_are_counted() -> None:
    """A microsecond is enough, and rows of other users do not matter."""
    (sentence,) = said([[(0, 1), (1, 5)], [(2, 9)]], [[(2, 4), (3, 5)], [(0, 8)]])
    assert sentence.startswith("2 of 3 candidates are older than the newest row that their user")


@pytest.mark.parametrize("support_size", [0, 1])
def test_only_rows_that_are_adapted_on_count(support_size: int) -> None:
    assert said([[(0, 1), (1, 5)]], [[(0, 7)]], support_size) == []


def test_candidates_in_the_support_are_counted() -> None:
    history = [[(0, 1), (1, 5)], [(2, 9)]]
    (sentence,) = said(history, [[(0, 5), (1, 5), (3, 6)], [(0, 9)]])
    assert sentence.startswith("2 of 4 candidates have the item of a row that their user")


@pytest.mark.parametrize(
    ("history", "candidates"),
    [([(0, 1), (1, 3), (0, 5)], [(0, 5), (1, 6)]), ([(0, 1), (1, 5)], [(1, 5), (0, 6), (0, 7)])],
)
def test_where_items_are_met_again_the_time_decides(
    history: list[Row], candidates: list[Row]
) -> None:
    (sentence,) = said([history], [candidates])
    count = f"1 of {len(candidates)}"
    assert sentence.startswith(f"{count} candidates have the item and time of a row that their")

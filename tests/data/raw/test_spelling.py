"""Warnings about suspicious words."""

from __future__ import annotations

import numpy as np
import pytest

from metaselector.data.raw.spelling import MISSING, doubts_of_names, doubts_of_words


def doubts(*names: str) -> list[str]:
    """Of users of whom the first has one row, the second two, and so on."""
    return list(doubts_of_names(names, np.arange(1, len(names) + 1), "user"))


def test_names_without_doubt() -> None:
    assert doubts() == []
    assert doubts("u1", "U1", "1", "10", "-1", "0", "007", "7.5", "1e3", "12.50", "nana", "é") == []
    assert doubts("1.0", "2.0") == []  # an id that is always written so


@pytest.mark.parametrize(
    "name", ["nan", "NaN", "NULL", "None", r"\N", "NA", "N/A", "-", "?", "<NA>"]
)
def test_marks_of_missing_values(name: str) -> None:
    assert name.lower() in MISSING
    assert doubts("ann", name) == [
        f"named like a missing value: 1 user ({name!r}; 2 rows); all rows of such a name count as "
        "one user: remove them, or give each its own id"
    ]


def test_the_most_frequent_are_named_first() -> None:
    (found,) = doubts("nan", "NULL", "ann", "na", " null ")[:1]
    assert found.startswith(
        "named like a missing value: 4 users (' null ', 'na', 'NULL', …; 12 rows); all rows"
    )


@pytest.mark.parametrize("name", [" u1", "u1 ", "\tu1", "u1\u00a0", "\ufeffu1", "u1\u200b"])
def test_blanks(name: str) -> None:
    assert doubts("u1", name) == [
        f"with surrounding blanks: 1 user ({name!r}; 2 rows); each spelling counts as a "
        "separate user: use one spelling, without blanks"
    ]


@pytest.mark.parametrize(
    "names", [("7", "7.0"), ("7", "007"), ("7.00", "7."), ("+7", "7"), ("-7", "-07"), ("0", "00")]
)
def test_one_number_in_two_ways(names: tuple[str, str]) -> None:
    assert doubts(*names, "8") == [
        f"one number with several spellings: 2 users ('{names[1]}', '{names[0]}'; 3 rows); each "
        "spelling counts as a separate user: use one spelling"
    ]


def test_the_ways_of_one_number_are_named_together() -> None:
    (found,) = doubts("1.0", "7", "2", "2.0", "1")
    assert "4 users ('1', '1.0', …; 13 rows)" in found


def test_accents() -> None:
    (found,) = doubts("\u00e9", "e\u0301", "\u00e8")
    assert found.startswith("accents with several encodings: 2 users ('e\\u0301', '\\xe9'; 3 rows)")


def test_words_of_a_feature() -> None:
    """In features, none and a hyphen may be words, and rows are not counted."""
    assert list(doubts_of_words(["none", "-", "?", "NA", "a"])) == []
    assert list(doubts_of_words(["NULL", "nan", "1", "1.0"])) == [
        "named like a missing value: 2 words ('NULL', 'nan'); leave missing ones empty",
        "one number with several spellings: 2 words ('1', '1.0'); each spelling counts as "
        "a separate word: use one spelling",
    ]

"""Columns of any type converted to words and numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from metaselector.data.raw.columns import (
    WORDS,
    BadValue,
    keys,
    missing_entries,
    numbers,
    words,
)
from metaselector.data.raw.records import checked
from metaselector.data.raw.values import Column, from_text

TEXTS = [["a", None], None, ["b", ""], [None, None], ["", "a"]]
STRING = pa.string()
NAN = float("nan")


@pytest.mark.parametrize(
    "type_",
    [
        pa.list_(STRING),
        pa.large_list(STRING),
        pa.list_(STRING, 2),
        pa.list_view(STRING),
        pa.large_list_view(STRING),
        pa.list_(pa.large_string()),
        pa.list_(pa.string_view()),
        pa.list_(pa.dictionary(pa.int8(), STRING)),
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_missing_entry_is_all_that_a_list_loses(type_: pa.DataType, first: int) -> None:
    column = pa.array(TEXTS, type_).slice(first)
    assert words(column).to_pylist() == ["a", None, "b|", "", "|a"][first:]
    assert missing_entries(column).tolist() == [1, 0, 0, 2, 0][first:]


@pytest.mark.parametrize(
    ("lists", "found", "missing"),
    [
        ([[1, None], None, [2, 3]], ["1", None, "2|3"], [1, 0, 0]),
        ([[True, None], None, [False]], ["true", None, "false"], [1, 0, 0]),
        ([[1.0, None], None, [NAN, 2.5]], ["1", None, "2.5"], [1, 0, 1]),
        ([[None], None, []], ["", None, ""], [1, 0, 0]),
        ([[Decimal("1.50"), None]], ["1.50"], [1]),
    ],
)
def test_lists_of_other_things(lists: Any, found: list[Any], missing: list[int]) -> None:
    column = pa.array(lists)
    assert words(column).to_pylist() == found
    assert missing_entries(column).tolist() == missing


def test_what_stands_behind_a_null_is_not_there() -> None:
    """Null lists may have hidden entries, and list views may be in any order."""
    texts = pa.array(["a", "b", "c", None])
    mask = pa.array([False, True, False])
    column = pa.ListArray.from_arrays(pa.array([0, 1, 2, 4], pa.int32()), texts, mask=mask)
    assert words(column).to_pylist() == ["a", None, "c"]
    assert missing_entries(column).tolist() == [0, 0, 1]
    first, size = pa.array([2, 0, 0], pa.int32()), pa.array([2, 1, 3], pa.int32())
    column = pa.ListViewArray.from_arrays(first, size, texts)
    assert words(column).to_pylist() == ["c", "a", "a|b|c"]


def test_a_separator_within_a_word_is_refused() -> None:
    column = pa.array([["a"], None, [None, "b", "b|c"]])
    with pytest.raises(BadValue, match=r"'b\|c' contains the separator '\|'") as error:
        words(column)
    assert error.value.row == 2
    assert words(column, ";").to_pylist() == ["a", None, "b;b|c"]


@pytest.mark.parametrize("values", [[[["a"]]], [[{"a": 1}]], [{"a": 1}], [[[None]]]])
def test_what_cannot_be_words(values: Any) -> None:
    with pytest.raises(BadValue, match="cannot be used as words; save text or whole numbers"):
        words(pa.array(values))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(np.array([1, 2], dtype=np.float16)),
        pa.array([1.0, 2.0]).dictionary_encode(),
        pa.array([Decimal("1.00")]),
        pa.array([], pa.float64()),
    ],
    ids=lambda column: str(column.type),
)
def test_keys_must_not_be_fractions(column: pa.Array) -> None:
    with pytest.raises(BadValue, match="floating-point numbers cannot be ids"):
        keys(column)


def test_keys_of_whole_decimals() -> None:
    assert keys(pa.array([Decimal(2**70)], pa.decimal128(38))).to_pylist() == [str(2**70)]


def test_a_key_may_be_missing_from_the_dictionary_too() -> None:
    codes = pa.array([0, 1, 0], pa.int32())
    with pytest.raises(BadValue, match="is empty") as error:
        keys(pa.DictionaryArray.from_arrays(codes, pa.array(["a", None])))
    assert error.value.row == 1


def test_numbers_of_16_bits() -> None:
    column = pa.array(np.array([1.5, NAN], dtype=np.float16))
    assert words(column).to_pylist() == ["1.5", None]
    assert np.array_equal(numbers(column), [1.5, NAN], equal_nan=True)


@pytest.mark.parametrize("column", [pa.array([1.0, -1e308]), pa.array(["1", "-1e308"])])
def test_no_number_is_so_large(column: pa.Array) -> None:
    with pytest.raises(BadValue, match=r"-1e\+308 is too large for a number; correct it") as error:
        numbers(column)
    assert error.value.row == 1


def test_no_number_of_another_format_is_so_large() -> None:
    assert from_text("1e100", "number") == 1e100
    with pytest.raises(ValueError, match=r"'1e101' is too large for a number"):
        from_text("1e101", "number")
    table = pa.table({"a": [1e101]})
    assert checked(table, [Column("a", "number")]) is None


@pytest.mark.parametrize("texts", [["2", "", None, "1e3", "2", "+5"], [], [None]])
def test_words_of_a_dictionary_are_the_numbers_of_plain_text(texts: list[str | None]) -> None:
    plain = pa.array(texts, pa.string())
    found = numbers(plain.dictionary_encode().cast(WORDS))
    np.testing.assert_array_equal(found, numbers(plain))


def test_a_bad_word_is_reported_for_its_first_row() -> None:
    column = pa.DictionaryArray.from_arrays(
        pa.array([1, None, 2, 3, 2], pa.int32()), pa.array(["unused", "1", "bad", "worse"])
    )
    with pytest.raises(BadValue, match="'bad'") as raised:
        numbers(column)
    assert raised.value.row == 2


def test_a_long_word_of_many_rows_is_not_repeated() -> None:
    """Repeated for each row, it would take a gigabyte."""
    long = pa.array(["0" * 10_000 + "7"])
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), long)
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    try:
        assert (numbers(column) == 7).all()
    finally:
        pa.set_memory_pool(usual)
    assert pool.max_memory() < 10**7

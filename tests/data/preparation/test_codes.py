"""Codes of words, across blocks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.preparation.codes import Codes, occurring

Words = list[str | None]


def test_codes_go_on_over_blocks() -> None:
    codes = Codes()
    assert codes.add(pa.array(["b", "a", "b"])).tolist() == [0, 1, 0]
    again = codes.add(pa.array(["c", "a", None, ""]))
    assert again.tolist() == [2, 1, -1, -1]
    assert again.dtype == np.int32
    assert codes.words == ["b", "a", "c"]
    assert len(codes) == 3


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.null()])
def test_nothing_to_code(kind: pa.DataType) -> None:
    codes = Codes()
    assert codes.add(pa.nulls(2, kind)).tolist() == [-1, -1]
    assert codes.add(pa.array([], kind)).tolist() == []
    assert codes.words == []


@pytest.mark.parametrize("index", [pa.int8(), pa.uint16(), pa.int64()])
def test_dictionaries_with_unused_repeated_and_null_entries(index: pa.DataType) -> None:
    entries = pa.array(["unused", "a", "", None, "b", "a"])
    rows = pa.array([4, 5, None, 1, 2, 3], index)
    codes = Codes()
    array = pa.DictionaryArray.from_arrays(rows, entries)
    assert codes.add(array).tolist() == [0, 1, -1, 1, -1, -1]
    assert codes.words == ["b", "a"]


def test_a_slice_of_a_dictionary_array() -> None:
    array = pa.array(["x", "b", "a", "b", "y"]).dictionary_encode()
    codes = Codes()
    assert codes.add(array[1:4]).tolist() == [0, 1, 0]
    assert codes.words == ["b", "a"]


def test_what_occurs() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([2, None, 0, 2]), pa.array(["a", "b", "c"]))
    entries, rows = occurring(array)
    assert entries.to_pylist() == ["c", "a"]
    assert rows.tolist() == [0, -1, 1, 0]


@st.composite
def blocks(draw: st.DrawFn) -> list[tuple[Words, pa.Array]]:
    """What blocks hold, and the blocks in a random encoding."""
    drawn = []
    words = st.sampled_from(["", "a", "b", "ä", "ab", None])
    for block in draw(st.lists(st.lists(words, max_size=6), max_size=5)):
        array = pa.array(block, draw(st.sampled_from([pa.string(), pa.large_string()])))
        if draw(st.booleans()):
            array = array.dictionary_encode(draw(st.sampled_from(["mask", "encode"])))
        drawn.append((block, array))
    return drawn


@given(drawn=blocks())
def test_equals_a_look_at_every_word(drawn: list[tuple[Words, pa.Array]]) -> None:
    seen: list[str] = []
    codes = Codes()
    for block, array in drawn:
        expected = []
        for word in block:
            if word and word not in seen:
                seen.append(word)
            expected.append(seen.index(word) if word else -1)
        assert codes.add(array).tolist() == expected
    assert codes.words == seen

"""Columns of data frames as Arrow."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from metaselector.common.errors import DataError
from metaselector.data.raw.frames import frame_columns, frame_names


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", None], ["a", None]),
        (pd.Series(["a", None], dtype="string"), ["a", None]),
        (pd.Categorical(["a", None]), ["a", None]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.Series([True, None], dtype="boolean"), [True, None]),
        ([1.5, float("nan")], [1.5, None]),
        ([["a"], ["b", "c"]], [["a"], ["b", "c"]]),
        (pd.arrays.SparseArray([1, 2]), [1, 2]),
    ],
)
def test_any_type(values: Any, expected: list[Any]) -> None:
    frame = pd.DataFrame({"a": values}).set_axis([5, 5])
    found = frame_columns(frame, "it", ["a"])["a"]
    assert isinstance(found, pa.Array)
    assert found.to_pylist() == expected


def test_only_what_is_wanted_is_looked_at() -> None:
    frame = pd.DataFrame([[1, {1}, object(), 2]], columns=["a", "b", "b", 7])
    found = frame_columns(frame, "it", ["7", "a", "absent", "a"])
    assert {name: array.to_pylist() for name, array in found.items()} == {"7": [2], "a": [1]}
    assert frame_names(frame) == ["a", "b", "b", "7"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"it \(column a\): 2 columns have this name"),
        (pd.DataFrame({"a": ["x", 1]}), r"it \(column a\): mixed or unsupported types"),
        (pd.DataFrame({"a": [object(), 2]}), r"it \(column a\): mixed or unsupported types"),
        (pd.DataFrame({"a": [1j]}), r"it \(column a\): mixed or unsupported types"),
        (pd.DataFrame({"a": [2**70, 1]}), r"it \(column a\): mixed or unsupported"),
        (pd.DataFrame({"a": ["\ud800"]}, dtype=object), r"it \(column a\): mixed or unsupported"),
        ({"a": [1]}, "it: is a dict; pass a data frame of pandas"),
    ],
)
def test_what_is_wrong_is_named(frame: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        frame_columns(frame, "it", ["a"])

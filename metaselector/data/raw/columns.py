"""Check columns of any type and convert them to what the interaction table holds.

Each function except :func:`checked` takes a column and returns a value per row, or raises
:class:`BadValue` for the first wrong row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.raw.lists import entries_of, is_listed, joined
from metaselector.data.raw.values import LARGEST, TOO_LARGE, from_text, shown

T = TypeVar("T")
V = TypeVar("V", bound=np.generic)
Raw = Literal["word", "number", "text"]
"""How a column of a text file is parsed: repeating words, numbers, or other texts."""

WORDS = pa.dictionary(pa.int32(), pa.string())
_NO_WORDS = "cannot be used as words; save text or whole numbers"
EMPTY = "is empty; correct or remove the row"
_FLAGS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0, "": math.nan}


class RawBlock(NamedTuple):
    """A block of unchecked rows of a file.

    Attributes:
        path: the file.
        lines: int64 ``[n]``, 1-based line of a text file or row of a Parquet file.
        columns: the requested columns, each ``[n]``, of any type.
    """

    path: Path
    lines: NDArray[np.int64]
    columns: Mapping[str, pa.Array]


class BadValue(Exception):
    """An invalid value in a column.

    Attributes:
        row: 0-based row of the column.
        problem: what is wrong and what to do.
    """

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(problem)
        self.row, self.problem = row, problem


def checked(block: RawBlock, column: str, check: Callable[[pa.Array], T]) -> T:
    """Apply `check` to a column; a :class:`BadValue` becomes a :class:`DataError`."""
    try:
        return check(viewless(block.columns[column]))
    except BadValue as error:
        line = int(block.lines[error.row])
        raise DataError(block.path, error.problem, line=line, column=column) from error


def keys(column: pa.Array) -> pa.DictionaryArray:
    """Convert users or items to words; none may be missing or empty."""
    type_ = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_floating(type_) or (pa.types.is_decimal(type_) and type_.scale):
        # 1 and 1.0 would be two users, and large numbers are rounded.
        example = f", such as {column[0].as_py()}" if len(column) else ""
        problem = f"floating-point numbers cannot be ids{example}; save whole numbers or text"
        raise BadValue(0, f"{problem}, and remove rows without an id")
    found = words(column)
    if found.null_count or pc.min(pc.binary_length(found.dictionary)).as_py() == 0:
        empty = pc.equal(found.dictionary, "").to_numpy(zero_copy_only=False)
        codes = found.indices.fill_null(len(empty)).to_numpy(zero_copy_only=False)
        refuse(np.append(empty, True)[codes], lambda row: EMPTY)
    return found


def words(column: pa.Array, separator: str = "|") -> pa.DictionaryArray:
    """Convert to words; join lists by `separator`. Null stays null.

    Missing entries of lists are left out; :func:`missing_entries` counts them.
    """
    type_ = column.type
    if is_listed(type_):
        column = _joined(column, separator)
    elif pa.types.is_floating(type_):
        column = _widened(column)
        column = pc.if_else(pc.is_nan(column), None, column)
    elif pa.types.is_dictionary(type_) and (
        column.dictionary.null_count or (type_ != WORDS and not is_text(type_.value_type))
    ):
        column = column.dictionary_decode()
    try:
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        return column if column.type == WORDS else column.cast(WORDS)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    try:  # convert only the distinct values to text
        return pa.DictionaryArray.from_arrays(column.indices, column.dictionary.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, AttributeError) as error:
        raise BadValue(0, f"values of type {type_} {_NO_WORDS}") from error


def missing_entries(column: pa.Array) -> NDArray[np.int64]:
    """Count the missing entries of each list, int64 ``[n]``; 0 if values are not lists."""
    if not is_listed(column.type):
        return np.zeros(len(column), dtype=np.int64)
    entries, rows = entries_of(column)
    lost = words(entries).is_null().to_numpy(zero_copy_only=False)
    return np.bincount(rows[lost], minlength=len(column))


def numbers(column: pa.Array) -> NDArray[np.float64]:
    """Convert to finite float64, nan if missing."""
    if pa.types.is_dictionary(column.type):
        return by_word(column, numbers)
    if is_text(column.type):
        found = _parsed(column)
    else:
        try:
            found = column.cast(pa.float64(), safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadValue(0, f"values of type {column.type} are not numbers") from error
    values: NDArray[np.float64] = found.to_numpy(zero_copy_only=False)
    refuse(np.isinf(values), lambda row: f"{values[row]} is not a finite number; correct it")
    refuse(np.abs(values) > LARGEST, lambda row: f"{values[row]} {TOO_LARGE}")
    return values


def places(column: pa.Array) -> NDArray[np.int64]:
    """Convert to whole numbers from 0, none missing."""
    values = numbers(column)
    bad = ~((values >= 0) & (values % 1 == 0) & (values < 2**53))
    refuse(bad, lambda row: f"{values[row]:.15g} is not a row, a whole number from 0; correct it")
    return values.astype(np.int64)


def by_word(column: pa.DictionaryArray, check: Callable[[pa.Array], NDArray[V]]) -> NDArray[V]:
    """Apply `check` to each word of a dictionary-encoded column once, not to each row.

    A bad word is reported for its first row.
    """
    n, words_ = len(column), column.dictionary
    codes = column.indices.fill_null(len(words_)).to_numpy(zero_copy_only=False)
    first = np.full(len(words_) + 1, n)
    first[codes[::-1]] = np.arange(n)[::-1]
    used = np.argsort(first, kind="stable")[
        : int((first < n).sum())
    ]  # in order of first occurrence
    missing = pa.nulls(1, words_.type)
    try:
        found = check(pa.concat_arrays([words_, missing]).take(pa.array(used)))
    except BadValue as error:
        raise BadValue(int(first[used[error.row]]), error.problem) from None
    place = np.zeros(len(words_) + 1, dtype=np.int64)
    place[used] = np.arange(len(used))
    return found[place[codes]]


def flags(column: pa.Array) -> NDArray[np.float64]:
    """Convert labels 0 and 1, or false and true, to float64, nan if missing."""
    if not pa.types.is_dictionary(column.type) and not is_text(column.type):
        values = numbers(column)
        bad = ~(np.isnan(values) | (values == 0) | (values == 1))
        refuse(bad, lambda row: _no_flag(f"{values[row]:.15g}"))
        return values
    found = words(column)
    texts = [text or "" for text in found.dictionary.to_pylist()]
    known = np.array([_FLAGS.get(text.lower(), math.inf) for text in texts] + [math.nan])
    codes = found.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    values = known[codes]
    refuse(np.isinf(values), lambda row: _no_flag(shown(texts[codes[row]])))
    return values


def observed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values`, none of which may be missing."""
    refuse(np.isnan(values), lambda row: "is empty; every row needs the first label")
    return values


def refuse(bad: NDArray[np.bool_], problem: Callable[[int], str]) -> None:
    """Raise :class:`BadValue` for the first row marked in `bad`."""
    if bad.any():
        row = int(bad.argmax())
        raise BadValue(row, problem(row))


def is_text(type_: pa.DataType) -> bool:
    """Whether values are strings without dictionary encoding."""
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def viewless(column: pa.Array) -> pa.Array:
    """Cast string and binary views to plain types, as Arrow supports few operations on views."""
    if pa.types.is_dictionary(column.type) and "view" in str(column.type.value_type):
        return pa.DictionaryArray.from_arrays(column.indices, viewless(column.dictionary))
    if pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    return column.cast(pa.binary()) if pa.types.is_binary_view(column.type) else column


def _joined(column: pa.Array, separator: str) -> pa.Array:
    entries, rows = entries_of(column)
    if is_listed(entries.type):
        raise BadValue(0, f"values of type {column.type} {_NO_WORDS}")
    found = words(entries)
    holds = pc.match_substring(found.dictionary, separator).to_numpy(zero_copy_only=False)
    if holds.any():
        bad = np.isin(found.indices.fill_null(-1).to_numpy(), np.flatnonzero(holds))
        if bad.any():
            place = int(bad.argmax())
            problem = (
                f"{shown(found[place].as_py())} contains the separator {separator!r}; set another"
            )
            raise BadValue(int(rows[place]), problem + " separator")
    return joined(found.dictionary_decode(), rows, column, separator)


def _widened(column: pa.Array) -> pa.Array:
    """Cast 16-bit floats to 32 bits, as Arrow supports few operations on the former."""
    return column.cast(pa.float32()) if pa.types.is_float16(column.type) else column


def _parsed(column: pa.Array) -> pa.Array:
    """Parse numbers; the slow path accepts more (``+5``) and reports the first bad value."""
    column = pc.if_else(pc.equal(column, ""), None, column)
    try:
        return column.cast(pa.float64())
    except pa.ArrowInvalid:
        pass
    values: list[float | None] = []
    for row, text in enumerate(column.to_pylist()):
        try:
            missing = text is None or text.strip().lower() in ("", "nan")
            values.append(None if missing else float(from_text(text, "number")))
        except ValueError as error:
            raise BadValue(row, f"{error}; correct it, or leave it empty if unknown") from None
    return pa.array(values, pa.float64())


def _no_flag(text: str) -> str:
    return f"{text} is not 0 or 1; correct it, or give the label a threshold"

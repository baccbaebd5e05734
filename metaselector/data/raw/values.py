"""What a value in a raw file must be: checked at once for a whole column, or one by one.

The check of a column is the quick twin of the check of a value: it may refuse what the slow one
accepts, never the other way round.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from metaselector.common.text import shown as shown  # beside what refuses values
from metaselector.data.microseconds import of_numbers

Kind = Literal["key", "text", "number", "seconds"]

ARROW = {"key": pa.string(), "text": pa.string(), "number": pa.float64(), "seconds": pa.float64()}
"""Type that pyarrow parses a column of a kind into."""
CHECKED = ARROW | {"seconds": pa.int64()}
"""Type of a column of a kind once it is checked."""
MEND = "correct or remove the line"

_DTYPE: dict[str, Any] = {"key": "str", "text": "str", "number": "float64", "seconds": "int64"}
LAST_SECOND = 7_289_654_399
"""End of the year 2200: what is later was not meant as seconds."""
LARGEST = 1e100
"""No number is larger, either way: it would be a mark of a missing one, and squares overflow."""
TOO_LARGE = "is too large for a number; correct it, or leave it empty if unknown"
_SMALLER_UNITS = {1_000: "milliseconds", 1_000_000: "microseconds", 1_000_000_000: "nanoseconds"}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Column(NamedTuple):
    """One column of a file.

    Attributes:
        name: what error messages call it.
        kind: ``"key"`` is text that must not be empty, ``"text"`` any text, ``"number"`` a finite
            float64, ``"seconds"`` seconds since 1970 UTC, with a fraction or without, which become
            microseconds (int64).
    """

    name: str
    kind: Kind = "text"


def plausible(column: pa.ChunkedArray, kind: Kind) -> bool:
    """Whether :func:`from_text` or :func:`number` would accept every value of a column."""
    if column.null_count:
        return False
    if kind == "text":
        return True
    if kind == "key":
        return all(pc.index(_words(chunk), "").as_py() < 0 for chunk in column.chunks)
    values = column.to_numpy()
    if kind == "number":
        return bool((np.abs(values) <= LARGEST).all())  # False for nan
    return bool(((values >= 0) & (values < LAST_SECOND + 1)).all())  # False for nan


def _words(strings: pa.Array) -> pa.Array:
    """The different ones of dictionary-encoded strings, plain strings as they are."""
    return strings.dictionary if pa.types.is_dictionary(strings.type) else strings


def from_text(text: str, kind: Kind) -> str | float | int:
    """The value that `text` stands for; raises ValueError, which says what is wrong with it."""
    if kind == "text":
        return text
    if kind == "key":
        if not text:
            raise ValueError("'' is empty")
        return text
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{shown(text)} is not a finite number")
    return number(float(text), kind, shown(text))


def number(value: float, kind: Kind, text: str) -> float | int:
    """`value` checked; `text` is what the ValueError calls it."""
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    if abs(value) > LARGEST:
        raise ValueError(f"{text} {TOO_LARGE}")
    if kind == "number":
        return value
    if not 0 <= value < LAST_SECOND + 1:
        problem = f"{text} is not a time in seconds since 1970, up to year 2200"
        raise ValueError(problem + _smaller_unit(value))
    return int(of_numbers(np.array(value)))


def _smaller_unit(value: float) -> str:
    """What else a time that is too late for seconds may be."""
    for factor, unit in _SMALLER_UNITS.items():
        if LAST_SECOND < value <= LAST_SECOND * factor:
            return f"; it looks like {unit}, divide by {factor}"
    return ""


def typed(values: Any, kind: Kind) -> pd.Series:
    """A checked column as the interaction table holds it."""
    return pd.Series(values).astype(_DTYPE[kind])

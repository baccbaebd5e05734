"""Checks of values in raw files: fast for a whole column, or slow, one by one.

The fast check may reject a column whose values the slow check accepts, but never the reverse.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from metaselector.common.text import shown as shown  # for messages about values
from metaselector.data.microseconds import of_numbers

Kind = Literal["key", "text", "number", "seconds"]

ARROW = {"key": pa.string(), "text": pa.string(), "number": pa.float64(), "seconds": pa.float64()}
"""Arrow type that a column of each kind is parsed into."""
CHECKED = ARROW | {"seconds": pa.int64()}
"""Arrow type of a checked column of each kind."""
MEND = "correct or remove the line"

_DTYPE: dict[str, Any] = {"key": "str", "text": "str", "number": "float64", "seconds": "int64"}
LAST_SECOND = 7_289_654_399
"""End of the year 2200: later times are in a finer unit than seconds."""
LARGEST = 1e100
"""Largest magnitude of a number: larger ones mark missing values, and their squares overflow."""
TOO_LARGE = "is too large for a number; correct it, or leave it empty if unknown"
_SMALLER_UNITS = {1_000: "milliseconds", 1_000_000: "microseconds", 1_000_000_000: "nanoseconds"}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Column(NamedTuple):
    """One column of a file.

    Attributes:
        name: name in error messages.
        kind: ``"key"`` is non-empty text, ``"text"`` any text, ``"number"`` a finite float64,
            ``"seconds"`` seconds since 1970 UTC, possibly fractional, converted to microseconds
            (int64).
    """

    name: str
    kind: Kind = "text"


def plausible(column: pa.ChunkedArray, kind: Kind) -> bool:
    """Whether :func:`from_text` or :func:`number` surely accepts every value of a column."""
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
    """The distinct words of dictionary-encoded strings, or plain strings unchanged."""
    return strings.dictionary if pa.types.is_dictionary(strings.type) else strings


def from_text(text: str, kind: Kind) -> str | float | int:
    """Parse `text`; raises ValueError with a description of the problem."""
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
    """Check `value`; a ValueError calls it `text`."""
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
    """Hint at the finer unit that a time too late for seconds may have."""
    for factor, unit in _SMALLER_UNITS.items():
        if LAST_SECOND < value <= LAST_SECOND * factor:
            return f"; it looks like {unit}, divide by {factor}"
    return ""


def typed(values: Any, kind: Kind) -> pd.Series:
    """Convert a checked column to the type it has in the interaction table."""
    return pd.Series(values).astype(_DTYPE[kind])

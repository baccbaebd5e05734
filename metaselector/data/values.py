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

Kind = Literal["key", "text", "number", "seconds"]

ARROW = {"key": pa.string(), "text": pa.string(), "number": pa.float64(), "seconds": pa.float64()}
"""Type that pyarrow parses a column of a kind into."""
MEND = "correct or remove the line"

_DTYPE: dict[str, Any] = {"key": "str", "text": "str", "number": "float64", "seconds": "int64"}
_LAST_SECOND = 253_402_300_799  # end of the year 9999
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Column(NamedTuple):
    """One column of a file.

    Attributes:
        name: what error messages call it.
        kind: ``"key"`` is text that must not be empty, ``"text"`` any text, ``"number"`` a finite
            float64, ``"seconds"`` whole seconds since 1970 UTC (int64; ``881250949.0`` is whole).
    """

    name: str
    kind: Kind = "text"


def plausible(column: Any, kind: Kind) -> bool:
    """Whether :func:`from_text` or :func:`number` would accept every value of a column."""
    if kind == "text":
        return True
    if kind == "key":
        return bool((column != "").all())
    if kind == "number":
        return bool(np.isfinite(column).all())
    in_range = (column >= 0) & (column <= _LAST_SECOND)  # False for nan
    return bool(in_range.all() and (column == np.floor(column)).all())


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
    if kind == "number":
        return value
    if not value.is_integer() or not 0 <= value <= _LAST_SECOND:
        raise ValueError(f"{text} is not a time in whole seconds since 1970, up to year 9999")
    return int(value)


def typed(values: Any, kind: Kind) -> pd.Series:
    """A checked column as the interaction table holds it."""
    return pd.Series(values).astype(_DTYPE[kind])


def shown(text: str) -> str:
    """`text` quoted for a one-line message, shortened where long."""
    return repr(text if len(text) <= 80 else text[:77] + "...")

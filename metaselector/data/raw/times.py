"""Times in a user's file, of any type, as seconds."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.data.raw.columns import EMPTY, BadValue, is_text, numbers, refuse
from metaselector.data.raw.values import shown

Unit = Literal["seconds", "milliseconds", "iso"]
_YEAR_1980 = 315_532_800
_YEAR_2200 = 7_258_118_400


def seconds(column: pa.Array, unit: Unit | None) -> NDArray[np.int64]:
    """Whole seconds since 1970 UTC, rounded down.

    Raises:
        BadValue: a time is missing, cannot be read, is outside of 1970 to 2200, or seems to be of
            another unit; milliseconds therefore have to be after 1980.
    """
    type_ = column.type
    is_time = pa.types.is_timestamp(type_) or pa.types.is_date(type_)
    refuse(column.is_null().to_numpy(zero_copy_only=False), lambda row: EMPTY)
    if is_time:
        whole = pa.timestamp("s", type_.tz if pa.types.is_timestamp(type_) else None)
        values = column.cast(whole, safe=False).cast(pa.int64()).to_numpy().astype(np.float64)
        unit = "iso"
    elif unit is None:
        raise BadValue(0, "the unit of the time is not known; set time.unit in the schema")
    elif unit == "iso":
        values = _moments(column)
    else:
        values = numbers(column)
        refuse(np.isnan(values), lambda row: EMPTY)
    scale = 1000 if unit == "milliseconds" else 1
    earliest = _YEAR_1980 if unit == "milliseconds" else 0
    bad = (values < earliest * scale) | (values >= _YEAR_2200 * scale)
    refuse(bad, lambda row: _out_of_range(values[row], unit))
    return np.floor(values / scale).astype(np.int64)


def _moments(column: pa.Array) -> NDArray[np.float64]:
    """ISO 8601 as seconds; UTC where a text names no offset."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not is_text(column.type):
        raise BadValue(
            0,
            f"holds values of type {column.type}, not ISO times; set time.unit to seconds or "
            "milliseconds",
        )
    for type_ in (pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        try:
            found = column.cast(type_).cast(pa.timestamp("s", type_.tz), safe=False)
            return found.cast(pa.int64()).to_numpy().astype(np.float64)
        except pa.ArrowInvalid:
            continue
    return np.array([_moment(row, text) for row, text in enumerate(column.to_pylist())])


def _moment(row: int, text: str) -> float:
    if not text.strip():
        raise BadValue(row, EMPTY)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        problem = f"{shown(text)} is no ISO time, such as 2024-05-01 or 2024-05-01T12:00:00Z"
        if text.strip().isdecimal():
            problem += "; it looks like a number, set time.unit to seconds or milliseconds"
        raise BadValue(row, problem + "; correct or remove the row") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return math.floor(moment.timestamp())


def _out_of_range(value: float, unit: Unit) -> str:
    text = f"{value:.15g}"
    if unit == "seconds" and _YEAR_1980 <= value / 1000 < _YEAR_2200:
        return f"{text} looks like milliseconds; set time.unit: milliseconds"
    if unit == "milliseconds" and 0 <= value < _YEAR_1980 * 1000:
        return f"{text} looks like seconds; set time.unit: seconds"
    if unit == "iso":
        text = str(np.datetime64(int(value), "s"))
    side = "before 1970" if value < 0 else "after the year 2200"
    return f"{text} is {side}; correct the value or time.unit"

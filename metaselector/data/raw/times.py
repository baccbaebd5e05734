"""Convert times of any type to microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.data.microseconds import SECOND, of_numbers
from metaselector.data.raw.columns import EMPTY, BadValue, by_word, is_text, numbers, refuse
from metaselector.data.raw.values import shown

Unit = Literal["seconds", "milliseconds", "iso"]
_MICROSECONDS = {"seconds": SECOND, "milliseconds": 1000}
YEAR_1980 = 315_532_800
_YEAR_2200 = 7_258_118_400
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_TOO_FINE = {"microseconds": 10**6, "nanoseconds": 10**9}


def microseconds(column: pa.Array, unit: Unit | None) -> NDArray[np.int64]:
    """Convert to microseconds since 1970 UTC; numbers are rounded, nanoseconds truncated.

    Raises:
        BadValue: a time is missing, cannot be parsed, is outside 1970 to 2200, or seems to have
            another unit, so milliseconds must be after 1980.
    """
    if pa.types.is_dictionary(column.type):
        return by_word(column, lambda words: microseconds(words, unit))
    type_ = column.type
    refuse(column.is_null().to_numpy(zero_copy_only=False), lambda row: EMPTY)
    if pa.types.is_timestamp(type_):
        return _checked(column.cast(pa.int64()).to_numpy(), type_.unit)
    if pa.types.is_date32(type_):
        days = column.cast(pa.int32()).to_numpy().astype(np.int64)
        return _checked(days * 86_400, "s")
    if pa.types.is_date64(type_):
        return _checked(column.cast(pa.int64()).to_numpy(), "ms")
    if unit is None:
        raise BadValue(0, "unknown unit of time; set time.unit in the schema")
    if unit == "iso":
        return _moments(column)
    values, scale = numbers(column), SECOND // _MICROSECONDS[unit]
    refuse(np.isnan(values), lambda row: EMPTY)
    earliest = YEAR_1980 if unit == "milliseconds" else 0
    bad = (values < earliest * scale) | (values >= _YEAR_2200 * scale)
    refuse(bad, lambda row: _out_of_range(float(values[row]), unit))
    return of_numbers(values, _MICROSECONDS[unit])


def _checked(times: NDArray[np.int64], unit: str) -> NDArray[np.int64]:
    """Check `times` in Arrow's `unit`, then scale them, which cannot overflow any more."""
    scale = _PER_SECOND[unit]
    bad = (times < 0) | (times >= _YEAR_2200 * scale)

    def problem(row: int) -> str:
        moment, _, fraction = str(times.astype(f"datetime64[{unit}]")[row]).partition(".")
        return _outside(".".join(filter(None, (moment, fraction.rstrip("0")))), times[row])

    refuse(bad, problem)
    return times // (scale // SECOND) if scale > SECOND else times * (SECOND // scale)


def _moments(column: pa.Array) -> NDArray[np.int64]:
    """Parse ISO 8601 texts; UTC unless they have an offset."""
    if not is_text(column.type):
        raise BadValue(
            0,
            f"holds values of type {column.type}, not ISO times; set time.unit to seconds or "
            "milliseconds",
        )
    for type_ in (pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        try:
            return _checked(column.cast(type_).cast(pa.int64()).to_numpy(), "ns")
        except pa.ArrowInvalid:
            continue
    moments = [_moment(row, text) for row, text in enumerate(column.to_pylist())]
    return _checked(np.array(moments, dtype=np.int64), "us")


def _moment(row: int, text: str) -> int:
    if not text.strip():
        raise BadValue(row, EMPTY)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        problem = f"{shown(text)} is not an ISO time such as 2024-05-01 or 2024-05-01T12:00:00Z"
        if text.strip().isdecimal():
            problem += "; for numbers, set time.unit to seconds or milliseconds"
        raise BadValue(row, problem + "; correct or remove the row") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _out_of_range(value: float, unit: Unit) -> str:
    text = f"{value:.0f}" if value.is_integer() else f"{value:.15g}"
    if unit == "seconds" and YEAR_1980 <= value / 1000 < _YEAR_2200:
        return f"{text} looks like milliseconds; set time.unit: milliseconds"
    if unit == "milliseconds" and 0 <= value < YEAR_1980 * 1000:
        return f"{text} looks like seconds; set time.unit: seconds"
    return f"{text} {finer}" if (finer := finer_unit(value)) else _outside(text, value)


def finer_unit(value: float) -> str:
    """Hint for a time in a finer unit than a schema supports; empty for other times."""
    for name, scale in _TOO_FINE.items():
        if YEAR_1980 <= value / scale < _YEAR_2200:
            divisor = scale // 1000
            return f"looks like {name}; divide by {divisor:,} and set time.unit: milliseconds"
    return ""


def _outside(text: str, value: float) -> str:
    side = "before 1970" if value < 0 else "after the year 2200"
    return f"{text} is {side}; correct the value or time.unit"

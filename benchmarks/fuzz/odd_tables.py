"""Parquet files with columns of any type, supported or not."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fuzz.logs import COLUMNS, Log
from benchmarks.fuzz.mutations import word

Make = Callable[[Random, int], Any]
"""Creates the value of a row."""

_NUMBERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64())
_FLOATS = (pa.float16(), pa.float32(), pa.float64())
_TEXTS = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary())
_TIMES = tuple(
    pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC")
)
_FLOAT_VALUES = (0.0, 1.0, 1.5, -1.0, 65504.0, float("nan"), float("inf"))


def plain_table(log: Log) -> pa.Table:
    """The log with the proper column types."""
    types = {"at": pa.int64(), "liked": pa.int64(), "stars": pa.int64(), "price": pa.float64()}
    arrays = {}
    for name in COLUMNS:
        values = log.column(name)
        arrays[name] = pa.array([text or None for text in values], pa.string())
        # A column with an odd value stays text; Arrow would read 0x10 as a number.
        with suppress(ValueError):
            if name in types:
                [float(text) for text in values if text]
                arrays[name] = arrays[name].cast(types[name])
    return pa.table(arrays)


def odd_table(random: Random, log: Log, path: Path) -> None:
    """Write the log with one to three columns changed in type, added or removed."""
    table = plain_table(log)
    for _ in range(random.randint(1, 3)):
        name = random.choice(COLUMNS)
        at = table.schema.get_field_index(name)
        if at < 0:
            continue
        match random.randrange(12):
            case 0:
                table = table.remove_column(at)
            case 1:  # twice
                table = table.append_column(name, table.column(at))
            case 2:
                table = table.slice(0, random.choice((0, 1)))
            case 3:
                table = table.append_column(word(random), table.column(at))
            case _:
                table = table.set_column(at, name, _odd_column(random, len(table)))
    if random.random() < 0.01:  # small as a file only
        table = _repeated(random, table)
    options = {"row_group_size": random.choice((1, 3, 1000)) if len(table) < 1000 else 10**6}
    try:
        pq.write_table(table, path, **options)
    except (pa.ArrowException, TypeError, ValueError):  # a type that Parquet does not support
        pq.write_table(plain_table(log), path, **options)
    if random.random() < 0.1:  # a name that is not UTF-8
        written = random.choice(COLUMNS).encode()
        path.write_bytes(path.read_bytes().replace(written, b"\xff" + written[1:]))


def _repeated(random: Random, table: pa.Table) -> pa.Table:
    """The last row a hundred thousand times, with a long word in one column."""
    with suppress(pa.ArrowException, IndexError):  # a type that Arrow cannot repeat
        table = table.take([len(table) - 1] * 100_000) if len(table) else table
    name = random.choice(table.column_names)
    words = pa.array(["x" * random.choice((10, 10_000))])
    places = pa.array([0] * len(table), pa.int32())
    at = table.column_names.index(name)
    return table.set_column(at, name, pa.DictionaryArray.from_arrays(places, words))


def _odd_column(random: Random, rows: int) -> pa.Array:
    """A column of a random type; some have missing values."""
    type_, make = _random_type(random, depth=0)
    missing = random.choice((0.0, 0.0, 0.3, 1.0))
    values = [None if random.random() < missing else make(random, row) for row in range(rows)]
    try:
        column = pa.array(values, type_)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.nulls(rows, type_)
    if random.random() < 0.2:
        with suppress(pa.ArrowException):
            return column.dictionary_encode()
    return column


def _random_type(random: Random, depth: int) -> tuple[pa.DataType, Make]:
    """A type and a function that creates its values."""
    match random.randrange(14 if depth < 2 else 8):
        case 0 | 1:
            return random.choice(_NUMBERS), lambda r, row: r.choice((row, 0, 1, r.randrange(128)))
        case 2:
            return random.choice(_FLOATS), lambda r, row: r.choice((row / 2, *_FLOAT_VALUES))
        case 3 | 4:
            return random.choice(_TEXTS), lambda r, row: r.choice((f"u{row}", str(row), word(r)))
        case 5:
            return random.choice(_TIMES), lambda r, row: _moment(r)
        case 6:
            type_ = random.choice((pa.date32(), pa.date64(), pa.time32("s"), pa.time64("us")))
            return type_, lambda r, row: _moment(r).date() if pa.types.is_date(type_) else row
        case 7:
            kind = random.choice((pa.bool_(), pa.null(), pa.decimal128(9, 2), pa.duration("s")))
            makes: dict[pa.DataType, Make] = {
                pa.bool_(): lambda r, row: r.random() < 0.5,
                pa.null(): lambda r, row: None,
                pa.decimal128(9, 2): lambda r, row: decimal.Decimal(row),
            }
            return kind, makes.get(kind, lambda r, row: row)
        case 8:
            inner, make = _random_type(random, depth + 1)
            return pa.struct({"a": inner}), lambda r, row: {"a": make(r, row)}
        case 9:
            inner, make = _random_type(random, depth + 1)
            return pa.map_(pa.string(), inner), lambda r, row: [("k", make(r, row))]
        case 10:
            inner, make = _random_type(random, depth + 1)
            return pa.list_(inner, 2), lambda r, row: [make(r, row), None]
        case _:
            inner, make = _random_type(random, depth + 1)
            lists = (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)
            return random.choice(lists)(inner), lambda r, row: _some(r, row, make)


def _some(random: Random, row: int, make: Make) -> list[Any]:
    return [make(random, row) for _ in range(random.randrange(3))]


def _moment(random: Random) -> datetime.datetime:
    return datetime.datetime(random.choice((1969, 1970, 2020, 2021)), 1, 2, 3, 4, 5, 678_901)

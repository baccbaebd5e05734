"""Records of a file, whatever its format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from metaselector.common.errors import DataError
from metaselector.data.raw.records import Records, checked, frame_of
from metaselector.data.raw.values import Column

COLUMNS = (Column("user", "key"), Column("stars", "number"), Column("time", "seconds"))
KEY = pa.dictionary(pa.int32(), pa.string())


def parsed(users: list[str | None], stars: list[float], times: list[float]) -> pa.Table:
    return pa.table({"user": pa.array(users, KEY), "stars": stars, "time": times, "other": users})


def test_checked_seconds_are_microseconds() -> None:
    table = checked(parsed(["u", "v"], [1.0, 2.5], [7.0, 8.1]), COLUMNS)
    assert table is not None
    assert table.column_names == ["user", "stars", "time"]
    assert table["time"].to_pylist() == [7_000_000, 8_100_000]
    assert table["time"].type == pa.int64()


@pytest.mark.parametrize(
    "table",
    [
        parsed(["u", ""], [1, 2], [7, 8]),
        parsed(["u", None], [1, 2], [7, 8]),
        parsed(["u", "v"], [1, np.nan], [7, 8]),
        parsed(["u", "v"], [1, np.inf], [7, 8]),
        parsed(["u", "v"], [1, 2], [7, -1]),
        parsed(["u", "v"], [1, 2], [7, 7_289_654_400]),
        parsed(["u", "v"], [1, 2], [7, np.nan]),
    ],
)
def test_what_the_slow_twin_may_refuse_is_not_checked(table: pa.Table) -> None:
    table = table.set_column(1, "stars", table["stars"].cast(pa.float64()))
    table = table.set_column(2, "time", table["time"].cast(pa.float64()))
    assert checked(table, COLUMNS) is None


def test_the_first_wrong_number_is_named() -> None:
    records = Records(5, pa.table({"stars": [1.0, 3.7, -2.0]}))
    stars = records.numbers("stars")
    records.require(stars < 9, Path("file"), "stars", "below 9")
    with pytest.raises(DataError) as error:
        records.require(stars == 1, Path("file"), "stars", "one")
    expected = "file:6 (column stars): 3.7 is not one; correct or remove the line"
    assert str(error.value) == expected


def test_lines_go_on_from_block_to_block() -> None:
    tables = [checked(parsed(["u"] * n, [1.0] * n, [7.0] * n), COLUMNS) for n in (2, 1)]
    frame = frame_of([Records(2, tables[0]), Records(4, tables[1])], COLUMNS)
    assert frame["line"].tolist() == [2, 3, 4]
    assert frame.dtypes.astype(str).to_dict() == {
        "user": "str",
        "stars": "float64",
        "time": "int64",
        "line": "int64",
    }

"""Tables of predictions as text and Parquet, whatever the columns of the candidates are."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from metaselector.common.errors import UserError
from metaselector.inference import prediction_files
from metaselector.inference.prediction_files import as_json_text, as_text, check_name, write_rows

TIMES = [datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 1, 12, tzinfo=UTC), None]


@pytest.fixture(params=[1, 2, 100])
def rows_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_files, "_ROWS", request.param)


@pytest.fixture
def table() -> pa.Table:
    return pa.table(
        {
            "word": pa.array(["a", 'b "c", d', "e"]).dictionary_encode(),
            "id": pa.array([9_007_199_254_740_993, None, 2], pa.int64()),
            "at": pa.array(TIMES, pa.timestamp("us", "UTC")),
            "p": pa.array([0.5, 1 / 3, 1e-20]),
            "w": pa.array([0.25, 0.1, 1.0], pa.float32()),
        }
    )


@pytest.mark.usefixtures("rows_at_once")
def test_text_is_the_same_however_it_is_cut(table: pa.Table) -> None:
    """A missing number makes no floats of ids, and midnight is a time."""
    assert "".join(as_text(table)).splitlines() == [
        "word,id,at,p,w",
        "a,9007199254740993,2024-05-01 00:00:00.000000Z,0.5,0.25",
        '"b ""c"", d",,2024-05-01 12:00:00.000000Z,0.3333333333333333,0.1',
        "e,2,,1e-20,1.0",
    ]


@pytest.mark.usefixtures("rows_at_once")
def test_json_has_the_values_of_text(table: pa.Table) -> None:
    odd = {
        "day": pa.array([date(2024, 5, 1), None, None]),
        "x": pa.array([float("inf"), float("nan"), None]),
    }
    for name, column in odd.items():
        table = table.append_column(name, column)
    found = json.loads("".join(as_json_text(table)))["predictions"]
    assert [list(row.values()) for row in found] == [
        ["a", 9007199254740993, "2024-05-01 00:00:00.000000Z", 0.5, 0.25, "2024-05-01", None],
        ['b "c", d', None, "2024-05-01 12:00:00.000000Z", 1 / 3, 0.1, None, None],
        ["e", 2, None, 1e-20, 1.0, None, None],
    ]
    assert all(list(row) == table.column_names for row in found)
    assert json.loads("".join(as_json_text(table[:0]))) == {"predictions": []}


@pytest.mark.usefixtures("rows_at_once")
def test_parquet_has_the_same_types(table: pa.Table, tmp_path: Path) -> None:
    write_rows(table, tmp_path / "p.parquet")
    found = parquet.read_table(tmp_path / "p.parquet")
    plain = table.set_column(0, "word", table["word"].cast(pa.string()))
    assert found.equals(plain)


@pytest.mark.usefixtures("rows_at_once")
def test_no_rows_have_a_header(table: pa.Table, tmp_path: Path) -> None:
    assert "".join(as_text(table[:0], "\t")) == "word\tid\tat\tp\tw\n"
    write_rows(table[:0], tmp_path / "p.parquet")
    assert parquet.read_table(tmp_path / "p.parquet").column_names == table.column_names


def test_carriage_returns_end_no_line(table: pa.Table) -> None:
    text = "".join(as_text(pa.table({"word": ["a\rb", "c"], "p": [0.5, 1.0]})))
    assert list(pd.read_csv(io.StringIO(text, newline=""))["word"]) == ["a\rb", "c"]


def test_the_name_says_how() -> None:
    check_name(Path("p.CSV"))
    with pytest.raises(UserError, match=r"p\.xlsx: choose a name that ends in"):
        check_name(Path("p.xlsx"))

"""Data frames described as logs by a schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from metaselector.common.errors import ConfigError, DataError
from metaselector.data.interactions import InteractionTable
from metaselector.data.own.frame import FrameLog, frame_log
from metaselector.data.own.own_log import read_log

COLUMNS: dict[str, Any] = {
    "user": "who", "item": "what", "time": {"column": "at", "unit": "seconds"}, "label": "liked",
    "features": ["price", "device"],
}  # fmt: skip
FRAME = pd.DataFrame(
    {
        "who": ["ann", "bob", "ann"],
        "what": [1, 2, 3],
        "at": [10, 20, 30],
        "liked": [1, 0, 1],
        "price": [1.5, 2.5, np.nan],
        "device": ["phone", None, "tablet"],
    }
)


def opened(made: FrameLog) -> InteractionTable:
    return read_log(made.schema, tables=made.tables)


def read(frame: Any, directory: Path, **changes: Any) -> pd.DataFrame:
    return opened(frame_log(frame, {**COLUMNS, **changes}, directory)).interactions


def test_unused_columns_hold_anything(tmp_path: Path) -> None:
    expected = read(FRAME, tmp_path / "plain")
    odd = FRAME.assign(bag=[{1}, object(), 2], mixed=["a", 1, None], z=[1j, 2j, 3j])
    odd = pd.concat([odd, odd["bag"]], axis=1).set_axis([7, 7, 7])
    pd.testing.assert_frame_equal(read(odd, tmp_path / "odd"), expected)
    assert set(frame_log(odd, COLUMNS, tmp_path).tables["interactions"].header) == set(FRAME)


@pytest.mark.parametrize(
    "types",
    [
        {"what": "Int64", "at": "Int64", "liked": "boolean", "price": "Float64"},
        {"who": "category", "what": "category", "device": "category"},
        {"who": "string[pyarrow]", "liked": "bool", "price": "float32", "at": "uint32"},
        {"who": object, "what": object, "device": object},
    ],
)
def test_types_of_pandas(tmp_path: Path, types: dict[str, Any]) -> None:
    expected = read(FRAME, tmp_path / "plain")
    pd.testing.assert_frame_equal(read(FRAME.astype(types), tmp_path / "typed"), expected)


def test_times_with_a_zone(tmp_path: Path) -> None:
    expected = read(FRAME, tmp_path / "plain")
    at = pd.to_datetime(FRAME["at"], unit="s", utc=True).dt.tz_convert("Asia/Kolkata")
    found = read(FRAME.assign(at=at), tmp_path / "zoned", time="at")
    pd.testing.assert_frame_equal(found, expected)


def test_names_need_not_be_text(tmp_path: Path) -> None:
    expected = read(FRAME, tmp_path / "plain")
    frame = FRAME.set_axis(range(6), axis=1)
    columns = {
        "user": 0, "item": np.int64(1), "time": {"column": 2, "unit": "seconds"},
        "labels": {"liked": {"column": 3}},
        "features": {"price": {"kind": "numeric", "column": 4}, "device": {"column": 5}},
    }  # fmt: skip
    found = opened(frame_log(frame, columns, tmp_path / "numbers")).interactions
    pd.testing.assert_frame_equal(found, expected)
    short = read(frame, tmp_path / "short", user=0, item=1, time=columns["time"], label=3,
                 features=[4, 5])  # fmt: skip
    assert list(short["4"]) == pytest.approx(list(expected["price"]), nan_ok=True)


def test_numbers_of_numpy(tmp_path: Path) -> None:
    expected = read(FRAME, tmp_path / "plain", threshold=1.0)
    found = read(FRAME, tmp_path / "typed", threshold=np.float32(1), features=np.array(
        ["price", "device"]
    ))  # fmt: skip
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME[:0], "^the data frame: has no rows"),
        (
            pd.concat([FRAME, FRAME["what"]], axis=1),
            r"^the data frame \(column what\): 2 columns have this name",
        ),
        (
            FRAME.assign(what=["a", 1, 2.5]),
            r"^the data frame \(column what\): .*mixed or unsupported types",
        ),
        (
            FRAME.assign(device=[{1}, 2, 3]),
            r"^the data frame \(column device\): .*mixed or unsupported types",
        ),
        (FRAME.rename(columns={"price": "prize"}), r"\(column price\): .*did you mean 'prize'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        frame_log(frame, COLUMNS, tmp_path)


def test_sides(tmp_path: Path) -> None:
    items = pd.DataFrame({"id": [1, 2, 3], "kind": ["a", "b", "c"], "bag": [{1}, 2, "c"]})
    columns = {**COLUMNS, "items": {"key": "id", "features": ["kind"]}}
    made = frame_log(FRAME, columns, tmp_path, items=items)
    assert list(opened(made).describe_items(["1", "2"])["kind"]) == ["a", "b"]
    with pytest.raises(DataError, match=r"the data frame items= \(column id\): 2 columns"):
        frame_log(FRAME, columns, tmp_path, items=pd.concat([items, items["id"]], axis=1))
    with pytest.raises(DataError, match="the data frame items=: has no rows"):
        frame_log(FRAME, columns, tmp_path, items=items[:0])


def test_a_description_of_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"columns: .*give names, numbers, lists"):
        frame_log(FRAME, {**COLUMNS, "threshold": object()}, tmp_path)


def test_other_libraries(tmp_path: Path) -> None:
    expected = read(FRAME, tmp_path / "pandas")
    table = pa.table(FRAME)
    with duckdb.connect() as connection:
        connection.register("frame", table)
        relation = connection.sql("SELECT * FROM frame")
        pd.testing.assert_frame_equal(read(relation, tmp_path / "duckdb"), expected)
    pd.testing.assert_frame_equal(read(table, tmp_path / "arrow"), expected)
    pieces = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    pd.testing.assert_frame_equal(read(pieces, tmp_path / "pieces"), expected)
    words = pa.table({name: table[name].dictionary_encode() for name in table.column_names})
    pd.testing.assert_frame_equal(read(words, tmp_path / "words", features={
        "price": {"kind": "numeric"}, "device": {}}), expected)  # fmt: skip
    views = table.set_column(0, "who", table["who"].cast(pa.string_view()))
    pd.testing.assert_frame_equal(read(views, tmp_path / "views"), expected)


def test_polars(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    expected = read(FRAME, tmp_path / "pandas")
    frame = polars.from_pandas(FRAME)
    pd.testing.assert_frame_equal(read(frame, tmp_path / "polars"), expected)
    typed = frame.with_columns(
        polars.col("device").cast(polars.Categorical), polars.from_epoch("at", "s")
    )
    pd.testing.assert_frame_equal(read(typed, tmp_path / "typed", time="at"), expected)


def test_blocks_of_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(FRAME, tmp_path / "whole")
    monkeypatch.setattr("metaselector.data.raw.frames.BLOCK_ROWS", 2)
    assert len(list(opened(frame_log(FRAME, COLUMNS, tmp_path)).read())) == 2
    pd.testing.assert_frame_equal(read(FRAME, tmp_path / "blocks"), expected)


def test_rows_of_a_frame_are_counted_and_stay_in_memory(tmp_path: Path) -> None:
    made = frame_log(FRAME.assign(who=["ann", "", "bob"]), COLUMNS, tmp_path)
    with pytest.raises(DataError, match=r"^the data frame:2 \(column who\): is empty"):
        list(opened(made).read())
    assert [path.name for path in tmp_path.iterdir()] == ["frame.yaml"]

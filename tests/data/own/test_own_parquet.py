"""Logs in Parquet files, correct and wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from metaselector.data.own.own_log import read_log

from .conftest import check, problem, write


def arrow() -> pa.Table:
    """What :data:`LOG` says."""
    return pa.table(
        {
            "who": ["ann", "4294967296123", "ann"],
            "what": ['a "b", c', "2", "2"],
            "when": [881250949.0, 1700000000.75, 0],
            "stars": [5, -1.5, 4],
            "bought": [True, None, False],
            "price": [2.5, None, float("nan")],
            "tags": [["x", "y"], None, ["y"]],
            "device": ["phone", None, "phone"],
            "other": [1, 2, 3],
        }
    )


def write_parquet(folder: Path, table: pa.Table, **changes: Any) -> Path:
    parquet.write_table(table, folder / "log.parquet")
    return write(folder, None, interactions="log.parquet", **changes)


def replaced(name: str, values: Any) -> pa.Table:
    table = arrow()
    return table.set_column(table.column_names.index(name), name, values)


def test_parquet(tmp_path: Path) -> None:
    check(read_log(write_parquet(tmp_path, arrow())), first_line=1)


@pytest.mark.parametrize("rows", [1, 2])
def test_parquet_in_blocks(tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from metaselector.data.raw.parquet_blocks import parquet_blocks

    monkeypatch.setattr(parquet_blocks, "__defaults__", (rows,))
    check(read_log(write_parquet(tmp_path, arrow())), first_line=1)


def test_parquet_keys_are_whole_numbers(tmp_path: Path) -> None:
    table = replaced("who", pa.array([7, 2**40, 7]))
    blocks = list(read_log(write_parquet(tmp_path, table)).read())
    assert blocks[0].user.type == pa.dictionary(pa.int32(), pa.string())
    assert blocks[0].user.to_pylist() == ["7", str(2**40), "7"]


@pytest.mark.parametrize(
    "text", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_other_types_of_text(tmp_path: Path, text: pa.DataType) -> None:
    table = arrow()
    for name in ("who", "what", "device"):
        position = table.column_names.index(name)
        table = table.set_column(position, name, table[name].cast(text))
    check(read_log(write_parquet(tmp_path, table)), first_line=1)


@pytest.mark.parametrize(
    "type_",
    [
        pa.timestamp("ns"),
        pa.timestamp("ms", "UTC"),
        pa.timestamp("us", "+02:00"),
    ],
)
def test_times_with_a_type(tmp_path: Path, type_: pa.DataType) -> None:
    times = pa.array([881250949000, 1700000000750, 0]).cast(pa.timestamp("ms", type_.tz))
    times = times.cast(type_)
    schema = write_parquet(tmp_path, replaced("when", times), time={"column": "when"})
    check(read_log(schema), first_line=1)


def test_folder(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    parquet.write_table(arrow().slice(1), folder / "b.parquet")
    parquet.write_table(arrow().slice(0, 1), folder / "a.parquet")
    (folder / "README").write_text("not a part")
    table = read_log(write(tmp_path, None, interactions="parts"))
    assert table.interactions["line"].tolist() == [1, 1, 2]
    assert table.interactions["item"].tolist() == ['a "b", c', "2", "2"]
    parquet.write_table(replaced("stars", pa.array(["5", "1", "2"])), folder / "b.parquet")
    found = problem(write(tmp_path, None, interactions="parts"))
    assert found.startswith(
        "parts/b.parquet (column stars): has type string, but type double in a."
    )
    parquet.write_table(arrow().drop_columns("stars"), folder / "b.parquet")
    found = problem(write(tmp_path, None, interactions="parts"))
    assert found.startswith("parts/b.parquet (column stars): has no type, but type double in a.")


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    found = problem(write(tmp_path, None, interactions="parts"))
    assert found.startswith("parts: the folder contains no files of a known format (.csv, .tsv")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "who",
            [1.0, 2.0, 3.0],
            ":1 (column who): floating-point numbers cannot be ids, such as 1.0; save",
        ),
        ("who", ["a", None, "b"], ":2 (column who): is empty"),
        ("what", ["a", "b", ""], ":3 (column what): is empty"),
        ("what", [[1], [2], [3]], None),
        ("stars", [1.0, None, 2.0], ":2 (column stars): is empty; every row needs"),
        ("stars", [1.0, 2.0, float("inf")], ":3 (column stars): inf is not a finite number"),
        ("stars", ["1", "x", "2"], ":2 (column stars): 'x' is not a finite number"),
        ("bought", [0, 1, 3], ":3 (column bought): 3 is not 0 or 1"),
        ("when", [1, None, 3], ":2 (column when): is empty"),
        ("when", [1.0, float("nan"), 3.0], ":2 (column when): is empty"),
        ("price", [{"a": 1}] * 3, ":1 (column price): values of type struct<a: int64> are no"),
        ("device", [{"a": 1}] * 3, ":1 (column device): values of type struct<a: int64> cannot"),
        ("tags", [["a"], ["b|c"], []], ":2 (column tags): 'b|c' contains the separator '|'; set"),
    ],
)
def test_wrong_parquet(tmp_path: Path, column: str, values: list[Any], message: str | None) -> None:
    schema = write_parquet(tmp_path, replaced(column, pa.array(values)))
    if message is None:
        assert len(read_log(schema).interactions) == 3
    else:
        assert problem(schema).startswith(f"log.parquet{message}")


def test_parquet_needs_the_right_unit(tmp_path: Path) -> None:
    found = problem(write_parquet(tmp_path, arrow(), time={"column": "when"}))
    assert found.startswith("log.parquet:1 (column when): unknown unit of time; set")
    found = problem(write_parquet(tmp_path, arrow(), time={"column": "when", "unit": "iso"}))
    assert found.startswith("log.parquet:1 (column when): holds values of type double, not ISO")


def test_no_parquet(tmp_path: Path) -> None:
    schema = write_parquet(tmp_path, arrow())
    path = tmp_path / "log.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    assert problem(schema).startswith("log.parquet: not a Parquet file, or damaged (")
    parquet.write_table(arrow().slice(0, 0), path)
    assert problem(schema) == "log.parquet: contains only a header and no interactions"


def test_parquet_lacks_a_column(tmp_path: Path) -> None:
    found = problem(write_parquet(tmp_path, arrow().drop_columns("who")))
    assert found.startswith("log.parquet (column who): there is no such column, but the schema")


def test_missing_entries_of_lists_are_counted(tmp_path: Path) -> None:
    values = pa.array([["x", None], [None], ["y"]], pa.list_(pa.string()))
    table = read_log(write_parquet(tmp_path, replaced("tags", values)))
    for _ in range(2):  # it is said once
        (block,) = table.read()
    assert block.features["tags"].to_pylist() == ["x", "", "y"]
    assert table.repairs == [
        f"{tmp_path / 'log.parquet'}: column 'tags': dropped 2 missing entries of lists (first in "
        "log.parquet:1)"
    ]


@pytest.mark.parametrize("dictionary", [True, False])
def test_text_that_is_not_utf_8(tmp_path: Path, dictionary: bool) -> None:
    path = tmp_path / "log.parquet"
    table = replaced("who", pa.array(["ann", "marker", "ann"]))
    parquet.write_table(table, path, use_dictionary=dictionary, compression="none")
    path.write_bytes(path.read_bytes().replace(b"marker", b"mark\xffr"))
    found = problem(write(tmp_path, None, interactions="log.parquet"))
    assert found.startswith("log.parquet:1 (column who): damaged, or not UTF-8 text, in one of 3")


def test_a_name_of_a_column_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    table = arrow().rename_columns({"other": "marker"})
    parquet.write_table(table, path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"marker", b"mark\xffr"))
    found = problem(write(tmp_path, None, interactions="log.parquet"))
    assert found.startswith("log.parquet: the name of a column is not UTF-8 (b'mark\\xffr')")

"""Interaction logs of one's own: text, Parquet, and what is said of a bad value."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from metaselector.data.interactions import Feature, InteractionTable, Negatives, Task
from metaselector.data.own.own_log import OwnLog, read_log
from metaselector.data.public.fetch import fetch
from metaselector.data.raw import csv_blocks
from metaselector.data.raw.csv_blocks import text_blocks
from metaselector.data.raw.csv_lines import read_slowly
from metaselector.data.registry import dataset, read
from metaselector.errors import ConfigError, DataError, UserError

SCHEMA: dict[str, Any] = {
    "version": 1,
    "interactions": "log.csv",
    "user": "who",
    "item": "what",
    "time": {"column": "when", "unit": "seconds"},
    "labels": {"like": {"column": "stars", "threshold": 4}, "bought": {"column": "bought"}},
    "features": {"price": {"kind": "numeric"}, "tags": {"kind": "multivalued"}, "device": {}},
}
HEADER = "who,what,when,stars,bought,price,tags,device,other\n"
ROWS = [
    'ann,"a ""b"", c",881250949,5,1,2.5,x|y,phone,?',
    "4294967296123,2,1700000000.75,-1.5,,,,,?",
    "ann,2,0,4,0,nan,y,phone,?",
]
LOG = HEADER + "\n".join(ROWS) + "\n"


def write(folder: Path, log: str | bytes | None = LOG, **changes: Any) -> Path:
    """A schema, changed, and its interactions; returns the path of the schema."""
    schema = {key: value for key, value in {**SCHEMA, **changes}.items() if value is not None}
    if log is not None:
        raw = log if isinstance(log, bytes) else log.encode()
        (folder / schema["interactions"]).write_bytes(raw)
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(schema, sort_keys=False))
    return path


def problem(schema: Path, data: Path | None = None) -> str:
    """The one line that reading everything ends with, without the folder."""
    with pytest.raises(UserError) as error:
        len(read_log(schema, data).interactions)
    message = str(error.value)
    assert "\n" not in message
    return message.removeprefix(f"{schema.parent}/")


def check(table: InteractionTable, first_line: int = 2) -> None:
    frame = table.interactions
    assert frame["user"].tolist() == ["ann", "4294967296123", "ann"]
    assert frame["item"].tolist() == ['a "b", c', "2", "2"]
    assert frame["timestamp"].tolist() == [881250949, 1700000000, 0]
    assert frame["line"].tolist() == [first_line, first_line + 1, first_line + 2]
    np.testing.assert_equal(frame["like"].to_numpy(), [5, -1.5, 4])
    np.testing.assert_equal(frame["bought"].to_numpy(), [1, np.nan, 0])
    np.testing.assert_equal(frame["price"].to_numpy(), [2.5, np.nan, np.nan])
    assert frame["tags"].fillna("").tolist() == ["x|y", "", "y"]
    assert frame["device"].fillna("").tolist() == ["phone", "", "phone"]
    assert "other" not in frame


# Text


def test_csv(tmp_path: Path) -> None:
    table = read_log(write(tmp_path))
    check(table)
    assert table.name == "shop"
    assert table.source == tmp_path / "log.csv"
    assert table.tasks == (Task("like", 4.0), Task("bought", 1.0))
    assert table.features == (
        Feature("price", "numeric"),
        Feature("tags", "multivalued"),
        Feature("device"),
    )
    assert table.negatives is None
    assert table.repairs == []
    assert {block.user.type for block in table.read()} == {pa.dictionary(pa.int32(), pa.string())}


def test_it_is_read_again(tmp_path: Path) -> None:
    table = read_log(write(tmp_path))
    assert sum(len(block.lines) for block in table.read()) == 3
    assert sum(len(block.lines) for block in table.read()) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text + "\n\n",
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace("5,1", "+5,TRUE"),  # which the fast parser refuses
    ],
    ids=["line ends", "byte order mark", "blank end", "no end", "slow"],
)
def test_other_spellings(tmp_path: Path, change: Callable[[str], str]) -> None:
    check(read_log(write(tmp_path, change(LOG))))


def test_gzip(tmp_path: Path) -> None:
    raw = gzip.compress(LOG.encode())
    check(read_log(write(tmp_path, raw, interactions="log.csv.gz")))


@pytest.mark.parametrize(("name", "separator"), [("log.tsv", None), ("log.txt", "\t")])
def test_tabs(tmp_path: Path, name: str, separator: str | None) -> None:
    rows = list(csv.reader(io.StringIO(LOG)))
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    check(read_log(write(tmp_path, text.getvalue(), interactions=name, separator=separator)))


def test_empty_values_at_the_end_of_a_file_with_tabs(tmp_path: Path) -> None:
    text = "who\twhat\twhen\tbought\tdevice\na\tb\t1\t1\tx\na\tc\t2\t0\t"
    labels, features = {"bought": {"column": "bought"}}, {"device": {}}
    for end in ("", "\n", "\n\n"):
        schema = write(tmp_path, text + end, interactions="l.tsv", labels=labels, features=features)
        assert read_log(schema).interactions["device"].fillna("").tolist() == ["x", ""]


def test_blocks_carry_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks.text_blocks, "__defaults__", (60, True))
    table = read_log(write(tmp_path))
    assert len(list(table.read())) == 3
    check(table)


def test_other_data(tmp_path: Path) -> None:
    schema = write(tmp_path, None)
    (tmp_path / "elsewhere.txt").write_text(LOG)
    table = read_log(schema, tmp_path / "elsewhere.txt")
    check(table)
    assert table.source == tmp_path / "elsewhere.txt"


@pytest.mark.parametrize(
    ("unit", "text", "seconds"),
    [
        ("milliseconds", "881250949999", 881250949),
        ("seconds", "881250949.9", 881250949),
        ("iso", "2024-05-01", 1714521600),
        ("iso", "2024-05-01T12:00:00Z", 1714564800),
        ("iso", "2024-05-01 12:00:00.75", 1714564800),
        ("iso", "2024-05-01T12:00:00.123456789Z", 1714564800),
        ("iso", "2024-05-01T12:00:00+02:00", 1714557600),
    ],
)
def test_times(tmp_path: Path, unit: str, text: str, seconds: int) -> None:
    rows = f"who,what,when,stars\na,b,{text},1\n"
    schema = write(
        tmp_path,
        rows,
        time={"column": "when", "unit": unit},
        labels={"like": {"column": "stars", "threshold": 4}},
        features={},
    )
    assert read_log(schema).interactions["timestamp"].tolist() == [seconds]
    mixed = rows + "a,c,2024-05-01T12:00:00Z,1\na,d,2024-05-01,1\n"
    if unit == "iso":  # some with an offset and some without
        (tmp_path / "log.csv").write_text(mixed)
        found = read_log(schema).interactions["timestamp"].tolist()
        assert found == [seconds, 1714564800, 1714521600]


def test_positives_only(tmp_path: Path) -> None:
    table = read_log(write(tmp_path, labels=None, negatives={"per_positive": 3, "seed": 7}))
    assert table.negatives == Negatives(3, "uniform", 7)
    assert table.tasks == (Task("interaction", 1.0),)
    assert table.interactions["interaction"].tolist() == [1.0, 1.0, 1.0]


def test_a_feature_that_is_missing_everywhere(tmp_path: Path) -> None:
    text = "who,what,when,stars,price,device\na,b,1,1,,\na,c,2,1,,\n"
    features = {"price": {"kind": "numeric"}, "device": {}}
    labels = {"like": {"column": "stars", "threshold": 1}}
    table = read_log(write(tmp_path, text, labels=labels, features=features))
    assert len(table.interactions) == 2
    list(table.read())
    assert table.repairs == [
        f"{tmp_path / 'log.csv'}: column '{name}' is empty in all rows; the field holds only its "
        "unseen word"
        for name in ("price", "device")
    ]


# Text that is wrong


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",i,1,5,1,1,,,", "(column who): is empty; correct or remove the row"),
        ("u,,1,5,1,1,,,", "(column what): is empty"),
        ("u,i,,5,1,1,,,", "(column when): is empty"),
        ("u,i,1,,1,1,,,", "(column stars): is empty; every row needs the first of the labels"),
        ("u,i,1,nan,1,1,,,", "(column stars): is empty; every row needs the first of the labels"),
        ("u,i,1,good,1,1,,,", "(column stars): 'good' is not a finite number; correct it"),
        ("u,i,1,inf,1,1,,,", "(column stars): inf is not a finite number"),
        ("u,i,1,1e999,1,1,,,", "(column stars): inf is not a finite number"),
        ("u,i,1,5,2,1,,,", "(column bought): '2' is not 0 or 1; correct it, or give the label a"),
        ("u,i,1,5,maybe,1,,,", "(column bought): 'maybe' is not 0 or 1"),
        ("u,i,1,5,1,cheap,,,", "(column price): 'cheap' is not a finite number; correct it, or"),
        ("u,i,1,5,1,-inf,,,", "(column price): -inf is not a finite number"),
        ("u,i,noon,5,1,1,,,", "(column when): 'noon' is not a finite number"),
        ("u,i,-5,5,1,1,,,", "(column when): -5 is before 1970"),
        ("u,i,881250949000,5,1,1,,,", "(column when): 881250949000 looks like milliseconds; set "),
        ("u,i,9e17,5,1,1,,,", "(column when): 9e+17 is after the year 2200"),
        ("u,i,1,5,1", "(column price): 'u,i,1,5,1' has 5 instead of 9 values separated by ','"),
        ("u,i,1,5,1,1,,,,x", "(column other): 'u,i,1,5,1,1,,,,x' has 10 instead of 9 values"),
        ("", ": the line is blank; remove it"),
        ('"u,i,1,5,1,1,,,', ": '\"u,i,1,5,1,1,,,' is no CSV (unexpected end of data); a value"),
        ("u\ri,1,5,1,1,,,", ": 'u\\ri,1,5,1,1,,,' is no CSV ("),
    ],
)
def test_wrong_row(tmp_path: Path, row: str, message: str) -> None:
    text = HEADER + "\n".join([*ROWS, row, *ROWS]) + "\n"
    start = "log.csv:5" if message.startswith(":") else "log.csv:5 "
    assert problem(write(tmp_path, text)).startswith(start + message)


def test_the_line_is_right_in_a_later_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_blocks.text_blocks, "__defaults__", (100, True))
    text = HEADER + "\n".join(ROWS * 5 + ["u,i,1,?,1,1,,,"] + ROWS) + "\n"
    assert problem(write(tmp_path, text)).startswith("log.csv:17 (column stars): '?' is not")


@pytest.mark.parametrize(
    ("unit", "value", "message"),
    [
        ("milliseconds", "881250949", "881250949 looks like seconds; set time.unit: seconds"),
        ("milliseconds", "9881250949000", "9881250949000 is after the year 2200"),
        ("iso", "01/05/2024", "'01/05/2024' is no ISO time, such as 2024-05-01 or"),
        ("iso", "881250949", "'881250949' is no ISO time, such as 2024-05-01 or"),
        ("iso", "2024-02-30", "'2024-02-30' is no ISO time"),
        ("iso", "1969-12-31", "1969-12-31T00:00:00 is before 1970"),
        ("iso", "2300-01-01", "2300-01-01T00:00:00 is after the year 2200"),
        ("iso", "", "is empty; correct or remove the row"),
    ],
)
def test_wrong_time(tmp_path: Path, unit: str, value: str, message: str) -> None:
    text = f"who,what,when,stars\na,b,{value},1\n"
    schema = write(
        tmp_path,
        text,
        time={"column": "when", "unit": unit},
        labels={"like": {"column": "stars", "threshold": 4}},
        features={},
    )
    assert problem(schema).startswith(f"log.csv:2 (column when): {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "log.csv: the file is empty"),
        ("\n\n", "log.csv: the file is empty"),
        (HEADER, "log.csv: holds no interactions, only names of columns"),
        (
            HEADER.replace(",", ";"),
            "log.csv:1: the header looks separated by ';', not ','; set separator: \";\" in",
        ),
        (HEADER.replace(",", "\t"), "log.csv:1: the header looks separated by '\\t', not ','; set"),
        ("who\na\n", "log.csv:1: the header has one column, 'who'"),
        (
            HEADER.replace("stars", "star"),
            "log.csv:1 (column stars): there is no such column, which the schema names as "
            "labels.like; did you mean 'star'?",
        ),
        (
            HEADER.replace("device", "price"),
            "log.csv:1 (column price): 'price' is named twice in the header; rename",
        ),
    ],
    ids=["empty", "blank", "header", "semicolon", "tab", "one column", "missing", "twice"],
)
def test_wrong_header(tmp_path: Path, text: str, message: str) -> None:
    assert problem(write(tmp_path, text)).startswith(message)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    raw = LOG.replace("phone", "télé").encode("latin-1")
    expected = "log.csv:2 (column device): byte 0xe9 in 't�l�' is not utf-8 text; save the file as"
    assert problem(write(tmp_path, raw)) == f"{expected} utf-8"
    unused = LOG.replace("?", "é").encode("latin-1")
    check(read_log(write(tmp_path, unused)))


def test_utf16(tmp_path: Path) -> None:
    assert problem(write(tmp_path, LOG.encode("utf-16"))).startswith("log.csv:1: byte 0xff at")


def test_missing_files(tmp_path: Path) -> None:
    assert problem(write(tmp_path, None)).startswith("log.csv: no such file; correct the path")
    found = problem(write(tmp_path, LOG, interactions="log.xlsx"))
    assert found.startswith("log.xlsx: the name does not say what it is; bring .csv, .tsv")


def test_truncated_gzip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(f"u{rng.integers(1e9)},i,1,5,1,1,,,\n" for _ in range(2000))
    raw = gzip.compress((HEADER + rows).encode())[:-200]
    found = problem(write(tmp_path, raw, interactions="log.csv.gz"))
    assert "the gzip file is cut short here; copy or fetch it again" in found


def test_truncated_text(tmp_path: Path) -> None:
    found = problem(write(tmp_path, LOG[:-12]))
    assert found.startswith("log.csv:4 (column tags): ")
    assert found.endswith("the file looks cut short, copy it again")


def test_text_needs_a_unit(tmp_path: Path) -> None:
    found = problem(write(tmp_path, time={"column": "when"}))
    assert found == (
        "shop.yaml: time.unit: is missing; say what log.csv has: seconds, milliseconds or iso"
    )


def test_one_column_of_two_kinds(tmp_path: Path) -> None:
    features = {"price": {"kind": "numeric"}, "tier": {"column": "price"}}
    found = problem(write(tmp_path, features=features))
    assert found.startswith("shop.yaml: features.tier: column 'price' is read as numbers in one")


def test_one_column_of_two_features(tmp_path: Path) -> None:
    features = {"price": {"kind": "numeric"}, "tier": {"kind": "numeric", "column": "price"}}
    frame = read_log(write(tmp_path, features=features)).interactions
    pd.testing.assert_series_equal(frame["price"], frame["tier"], check_names=False)


# Parquet


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


@pytest.mark.parametrize("text", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_other_types_of_text(tmp_path: Path, text: pa.DataType) -> None:
    table = arrow()
    for name in ("who", "what", "device"):
        position = table.column_names.index(name)
        table = table.set_column(position, name, table[name].cast(text))
    check(read_log(write_parquet(tmp_path, table)), first_line=1)


@pytest.mark.parametrize(
    "type_",
    [
        pa.timestamp("s"),
        pa.timestamp("ns"),
        pa.timestamp("ms", "UTC"),
        pa.timestamp("us", "+02:00"),
    ],
)
def test_times_with_a_type(tmp_path: Path, type_: pa.DataType) -> None:
    times = pa.array([881250949, 1700000000, 0]).cast(pa.timestamp("s", type_.tz)).cast(type_)
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
        "parts/b.parquet (column stars): is of type string, but of type double in a."
    )
    parquet.write_table(arrow().drop_columns("stars"), folder / "b.parquet")
    found = problem(write(tmp_path, None, interactions="parts"))
    assert found.startswith(
        "parts/b.parquet (column stars): is of no type, but of type double in a."
    )


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    found = problem(write(tmp_path, None, interactions="parts"))
    assert found.startswith("parts: the folder holds no .parquet files")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("who", [1.0, 2.0, 3.0], ":1 (column who): 1.0 is no id but a floating-point number; save"),
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
        ("tags", [["a"], ["b|c"], []], ":2 (column tags): 'b|c' holds the separator '|'; set"),
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
    assert found.startswith("log.parquet:1 (column when): the unit of the time is not known; set")
    found = problem(write_parquet(tmp_path, arrow(), time={"column": "when", "unit": "iso"}))
    assert found.startswith("log.parquet:1 (column when): holds values of type double, not ISO")


def test_no_parquet(tmp_path: Path) -> None:
    schema = write_parquet(tmp_path, arrow())
    path = tmp_path / "log.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    assert problem(schema).startswith("log.parquet: no Parquet file, or a damaged one (")
    parquet.write_table(arrow().slice(0, 0), path)
    assert problem(schema) == "log.parquet: holds no interactions, only names of columns"


def test_parquet_lacks_a_column(tmp_path: Path) -> None:
    found = problem(write_parquet(tmp_path, arrow().drop_columns("who")))
    assert found.startswith("log.parquet (column who): there is no such column, which the schema")


# Users and items


SIDES: dict[str, Any] = {
    "users": {"file": "users.csv", "key": "id", "features": {"age": {"kind": "numeric"}}},
    "items": {
        "file": "items.tsv",
        "key": "id",
        "features": {"genres": {"kind": "multivalued", "profile": True}, "brand": {}},
    },
}


def write_sides(folder: Path, users: str, items: str) -> Path:
    (folder / "users.csv").write_text(users)
    (folder / "items.tsv").write_text(items)
    return write(folder, **SIDES)


def test_users_and_items(tmp_path: Path) -> None:
    users = "id,age\nann,24\nbob,\n"
    items = "id\tgenres\tbrand\n2\tDrama|War|\tx\n3\tWar\ty\n3\tTwice\ty\n'a'\t\t\n"
    table = read_log(write_sides(tmp_path, users, items))
    expected = pd.DataFrame({"age": [24, np.nan]}, pd.Index(["ann", "bob"], name="user"))
    pd.testing.assert_frame_equal(table.users, expected, check_index_type=False)
    # Nothing is said of rows of items that do not occur.
    assert table.items.index.tolist() == ["2"]
    assert table.items["genres"].tolist() == [("Drama", "War")]
    assert table.items["brand"].tolist() == ["x"]
    assert table.user_features == (Feature("age", "numeric"),)
    assert table.item_features == (Feature("genres", "multivalued", profile=True), Feature("brand"))
    assert table.repairs == []


def test_sides_that_say_nothing(tmp_path: Path) -> None:
    table = read_log(write_sides(tmp_path, "id,age\n", "id\tgenres\tbrand\n2\t\t\n"))
    assert list(table.users) == ["age"]
    assert table.items["genres"].tolist() == [()]
    assert [repair.partition("column ")[2].split()[0] for repair in table.repairs] == [
        "'age'",
        "'genres'",
        "'brand'",
    ]


def test_sides_of_others(tmp_path: Path) -> None:
    table = read_log(write_sides(tmp_path, "id,age\nAnn,1\n", "id\tgenres\tbrand\n02\tx\ty\n"))
    assert table.items.empty
    assert table.repairs == [
        f"{tmp_path / name}: column 'id' has none of the {index} of the interactions; compare the "
        "spelling of both"
        for name, index in {"users.csv": "users", "items.tsv": "items"}.items()
    ]


def test_sides_that_are_wrong(tmp_path: Path) -> None:
    good = "id\tgenres\tbrand\n2\t\t\n"
    assert problem(write_sides(tmp_path, "id,age\na,1\nb,2\na,3\n", good)) == (
        "users.csv:4 (column id): 'a' was already described in line 2; remove one of the two"
    )
    assert problem(write_sides(tmp_path, "id,age\na,old\n", good)).startswith(
        "users.csv:2 (column age): 'old' is not a finite number"
    )
    assert problem(write_sides(tmp_path, "id,aged\na,1\n", good)).startswith(
        "users.csv:1 (column age): there is no such column, which the schema names as "
        "users.features.age; did you mean 'aged'?"
    )
    table = read_log(write_sides(tmp_path, "id,age\na,1\n", good + "2\tx\ty\n"))
    with pytest.raises(DataError, match=r"items.tsv:3 \(column id\): '2' was already described in"):
        _ = table.items


# The slow twin


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\x00"), max_size=5)


@settings(deadline=None)
@given(rows=st.lists(st.lists(VALUES, min_size=2, max_size=2), min_size=1, max_size=6))
def test_both_parsers_read_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "twins.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["a", "b", "c"], *[[*r, "."] for r in rows]]
        )
    blocks = list(text_blocks(path, ",", {"a": "word", "b": "text"}))
    raw = csv_blocks.Block(2, path.read_bytes().partition(b"\n")[2])
    slow = read_slowly(path, raw, ",", ["a", "b", "c"], {"a": "word", "b": "text"})
    for position, name in enumerate("ab"):
        fast = [value for block in blocks for value in block.columns[name].to_pylist()]
        assert fast == slow[name].to_pylist() == [row[position] for row in rows]
    assert np.concatenate([block.lines for block in blocks]).tolist() == list(
        range(2, len(rows) + 2)
    )


# As a data set


def test_a_schema_is_a_data_set(tmp_path: Path) -> None:
    schema = write(tmp_path)
    assert dataset(str(schema)) == OwnLog(schema)
    path = fetch(str(schema), tmp_path / "data")
    assert path == tmp_path / "log.csv"
    table = read(str(schema), path)
    check(table)
    assert table.name == "shop"
    assert not (tmp_path / "data").exists()
    with pytest.raises(ConfigError, match="cannot be read"):
        fetch(str(tmp_path / "none.yml"), tmp_path / "data")


def test_the_example_reads() -> None:
    table = read_log(Path(__file__).parents[3] / "examples" / "shop" / "shop.yaml")
    frame = table.interactions
    assert (frame["user"].nunique(), frame["item"].nunique()) == (40, 80)
    assert len(frame) > 1500
    assert 0.3 < (frame["liked"] >= 4).mean() < 0.7
    assert set(frame["item"]) <= set(table.items.index)
    assert table.repairs == []


# Labels after another

AFTER = {
    "like": {"column": "stars", "threshold": 4},
    "bought": {"column": "bought", "after": "like"},
    "again": {"column": "again", "after": "bought"},
}


def funnel(folder: Path, *rows: str) -> Path:
    log = "who,what,when,stars,bought,again\n" + "".join(f"ann,{row}\n" for row in rows)
    return write(folder, log, labels=AFTER, features=None)


def test_labels_after_another(tmp_path: Path) -> None:
    """A 0 where nothing was asked is no answer."""
    table = read_log(funnel(tmp_path, "1,1,5,1,1", "2,2,5,0,0", "3,3,2,0,0", "4,4,4,,", "5,5,1,,"))
    assert table.tasks == (
        Task("like", 4.0), Task("bought", 1.0, "like"), Task("again", 1.0, "bought")
    )  # fmt: skip
    frame, nan = table.interactions, np.nan
    np.testing.assert_equal(frame["bought"].to_numpy(), [1, 0, nan, nan, nan])
    np.testing.assert_equal(frame["again"].to_numpy(), [1, nan, nan, nan, nan])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2,2,3,1,0", "(column bought): is positive, but column 'stars', after which it comes"),
        ("2,2,5,0,1", "(column again): is positive, but column 'bought', after which it comes"),
        ("2,2,5,,1", "(column again): is positive, but column 'bought', after which it comes"),
    ],
)
def test_a_positive_after_none_is_an_error(tmp_path: Path, row: str, said: str) -> None:
    assert problem(funnel(tmp_path, "1,1,5,1,1", row)).startswith(f"log.csv:3 {said}")


@pytest.mark.parametrize(
    ("name", "after", "said"),
    [
        ("like", "bought", "labels.like.after: 'bought' is no label before this one; remove it"),
        ("bought", "lik", "labels.bought.after: 'lik' is no label before this one; did you mean"),
        ("bought", "bought", "labels.bought.after: 'bought' is no label before this one"),
    ],
)
def test_after_names_an_earlier_label(tmp_path: Path, name: str, after: str, said: str) -> None:
    labels = {**SCHEMA["labels"], name: {"column": "x", "after": after}}
    with pytest.raises(ConfigError) as error:
        read_log(write(tmp_path, labels=labels))
    assert said in str(error.value)

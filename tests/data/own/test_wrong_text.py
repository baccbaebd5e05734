"""Messages about wrong values, lines and text files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.data.own.own_log import read_log
from metaselector.data.raw import csv_blocks

from .conftest import HEADER, LOG, ROWS, check, problem, write


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",i,1,5,1,1,,,", "(column who): is empty; correct or remove the row"),
        ("u,,1,5,1,1,,,", "(column what): is empty"),
        ("u,i,,5,1,1,,,", "(column when): is empty"),
        ("u,i,1,,1,1,,,", "(column stars): is empty; every row needs the first label"),
        ("u,i,1,nan,1,1,,,", "(column stars): is empty; every row needs the first label"),
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
        ("u,i,881250949000000,5,1,1,,,", "(column when): 881250949000000 looks like microseconds"),
        ("u,i,9e17,5,1,1,,,", "(column when): 900000000000000000 looks like nanoseconds; divide"),
        ("u,i,1,5,1", "(column price): 'u,i,1,5,1' has 5 instead of 9 values separated by ','"),
        ("u,i,1,5,1,1,,,,x", "(column other): 'u,i,1,5,1,1,,,,x' has 10 instead of 9 values"),
        ("", ": the line is blank; remove it"),
        ('"u,i,1,5,1,1,,,', ": '\"u,i,1,5,1,1,,,' is not CSV (unexpected end of data); values"),
        ("u\ri,1,5,1,1,,,", ": 'u\\ri,1,5,1,1,,,' is not CSV ("),
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
        (
            "milliseconds",
            "881250949000000",
            "881250949000000 looks like microseconds; divide by 1,000 and set time.unit: millisec",
        ),
        ("iso", "01/05/2024", "'01/05/2024' is not an ISO time such as 2024-05-01 or"),
        ("iso", "881250949", "'881250949' is not an ISO time such as 2024-05-01 or"),
        ("iso", "2024-02-30", "'2024-02-30' is not an ISO time"),
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
        (HEADER, "log.csv: contains only a header and no interactions"),
        (
            HEADER.replace(",", ";"),
            "log.csv:1: the header looks separated by ';', not ','; set separator: \";\" in",
        ),
        (HEADER.replace(",", "\t"), "log.csv:1: the header looks separated by '\\t', not ','; set"),
        ("who\na\n", "log.csv:1: the header has one column, 'who'"),
        (
            HEADER.replace("stars", "star"),
            "log.csv:1 (column stars): there is no such column, but the schema names it as "
            "labels.like; did you mean 'star'?",
        ),
        (
            HEADER.replace("device", "price"),
            "log.csv:1 (column price): 'price' is given twice in the header; rename",
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
    assert problem(write(tmp_path, None)).startswith("log.csv: file not found")
    found = problem(write(tmp_path, LOG, interactions="log.xml"))
    assert found.startswith("log.xml: unknown file format; use .csv, .tsv")


def test_truncated_gzip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(f"u{rng.integers(1e9)},i,1,5,1,1,,,\n" for _ in range(2000))
    raw = gzip.compress((HEADER + rows).encode())[:-200]
    found = problem(write(tmp_path, raw, interactions="log.csv.gz"))
    assert "the gzip file is truncated here; copy or fetch it again" in found


def test_truncated_text(tmp_path: Path) -> None:
    found = problem(write(tmp_path, LOG[:-12]))
    assert found.startswith("log.csv:4 (column tags): ")
    assert found.endswith("the file looks cut short, copy it again")


def test_text_needs_a_unit(tmp_path: Path) -> None:
    found = problem(write(tmp_path, time={"column": "when"}))
    assert found == (
        "shop.yaml: time.unit: missing; set it to the unit in log.csv: seconds, milliseconds or iso"
    )


def test_one_column_of_two_kinds(tmp_path: Path) -> None:
    features = {"price": {"kind": "numeric"}, "tier": {"column": "price"}}
    found = problem(write(tmp_path, features=features))
    assert found.startswith("shop.yaml: features.tier: column 'price' is used both as numbers")


def test_one_column_of_two_features(tmp_path: Path) -> None:
    features = {"price": {"kind": "numeric"}, "tier": {"kind": "numeric", "column": "price"}}
    frame = read_log(write(tmp_path, features=features)).interactions
    pd.testing.assert_series_equal(frame["price"], frame["tier"], check_names=False)

"""Roles of columns, guessed from names and values."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import ConfigError
from metaselector.data.own.column_profile import ColumnProfile
from metaselector.data.own.draft import draft, write_draft
from metaselector.data.own.draft_guesses import parts, threshold
from metaselector.data.own.log_schema import load_schema

from .drafted import COLUMNS, N, drafted, line_of


@pytest.mark.parametrize(
    ("user", "item", "time", "label"),
    [
        ("reviewerID", "asin", "unixReviewTime", "overall"),
        ("userId", "movieId", "timestamp", "rating"),
        ("CustomerId", "ProductId", "date", "stars"),
        ("uid", "sku", "ts", "score"),
        ("user", "item", "time", "label"),
        ("account_key", "article_code", "created_at", "user_rating"),
    ],
)
def test_names_that_others_use(tmp_path: Path, user: str, item: str, time: str, label: str) -> None:
    names = dict(zip(COLUMNS, (user, item, time, label), strict=True))
    columns = {"item_name": [f"n{i % 9}" for i in range(N)]}
    columns |= {names[name]: values for name, values in COLUMNS.items()}
    _, schema, table = drafted(tmp_path, columns)
    assert (schema.user, schema.item, schema.time.column) == (user, item, time)
    assert schema.labels is not None
    assert [label_.column for label_ in schema.labels.values()] == [label]
    assert [feature.name for feature in table.features] == ["item_name"]


def test_a_label_with_another_name_is_doubted(tmp_path: Path) -> None:
    columns = {name: values for name, values in COLUMNS.items() if name != "rating"}
    text, schema, _ = drafted(tmp_path, columns | {"y": [0, 1] * (N // 2)})
    assert schema.labels is not None
    assert list(schema.labels) == ["y"]
    assert "# check: a column of 0 and 1" in line_of(text, '"y"')


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([1_600_000_000_000 + i for i in range(N)], "milliseconds"),
        ([1_600_000_000.5 + i for i in range(N)], "seconds"),
        ([f"2024-05-{1 + i % 28:02}" for i in range(N)], "iso"),
        ([f"2024-05-01T12:00:{i % 60:02}Z" for i in range(N)], "iso"),
        (list(range(N)), "seconds"),
    ],
)
def test_units(tmp_path: Path, values: list[Any], unit: str) -> None:
    _, schema, _ = drafted(tmp_path, COLUMNS | {"timestamp": values})
    assert schema.time.unit == unit


def test_times_with_a_type(tmp_path: Path) -> None:
    start = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
    times = [start + datetime.timedelta(hours=i) for i in range(N)]
    _, schema, _ = drafted(tmp_path, COLUMNS | {"timestamp": times}, "log.parquet")
    assert schema.time.unit is None


def test_columns_found_by_their_values(tmp_path: Path) -> None:
    renamed = dict(zip(COLUMNS, ["a", "b", "c", "rating"], strict=True))
    columns = {renamed[name]: values for name, values in COLUMNS.items()}
    text, schema, _ = drafted(tmp_path, columns)
    assert {schema.user, schema.item} == {"a", "b"}
    assert schema.time.column == "c"
    for role in ("user", "item", "time"):
        assert "# check: guessed from its values" in line_of(text, role)


def test_what_cannot_be_guessed(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pd.DataFrame({"a": ["x"] * 9, "b": ["y"] * 9}).to_csv(path, index=False)
    text = draft(path)
    for role in ("user: CHANGE_ME", "item: CHANGE_ME", "time: {column: CHANGE_ME}"):
        assert f"{role}  # check:" in text
    write_draft(path, tmp_path / "shop.yaml")
    with pytest.raises(ConfigError, match=r"shop\.yaml: user: replace CHANGE_ME, as"):
        load_schema(tmp_path / "shop.yaml")


def test_a_time_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pd.DataFrame(COLUMNS | {"timestamp": "05/01/2024 1pm"}).to_csv(path, index=False)
    assert "time: {column: timestamp, unit: CHANGE_ME}" in draft(path)


def test_a_unit_that_schemas_do_not_have_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    times = [time * 1_000_000 for time in COLUMNS["timestamp"]]
    pd.DataFrame(COLUMNS | {"timestamp": times}).to_csv(path, index=False)
    line = line_of(draft(path), "time")
    assert line.startswith("time: {column: timestamp, unit: CHANGE_ME}")
    assert line.endswith(
        "# check: looks like microseconds; divide by 1,000 and set time.unit: milliseconds"
    )


def test_a_date_in_one_number_is_not_a_time(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pd.DataFrame(COLUMNS | {"timestamp": 20240501}).to_csv(path, index=False)
    assert "time: {column: timestamp, unit: CHANGE_ME}" in draft(path)


def test_missing_values_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    users = [None, *COLUMNS["user_id"][1:]]
    pd.DataFrame(COLUMNS | {"user_id": users}).to_csv(path, index=False)
    assert line_of(draft(path), "user").endswith("# check: 1 rows have none; remove them")


def test_parts_of_names() -> None:
    assert parts("reviewerID") == ["reviewer", "id"]
    assert parts("user_id2") == ["user", "id", "2"]
    assert parts("HTMLPage") == ["html", "page"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, 5], 4),
        ([0.5 * i for i in range(1, 11)], 4),
        (list(range(11)), 8),
        ([4, 5], 5),
        ([-3, -2, -1], -2),
        (list(range(100)), 50),
    ],
)
def test_thresholds(values: list[float], expected: float) -> None:
    assert threshold(ColumnProfile("r", "number", 9, numbers=np.array(values, float))) == expected

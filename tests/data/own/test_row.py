"""Logs whose rows are numbered: any order of the files prepares to the data of the original log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml

from metaselector.common.errors import DataError
from metaselector.data.encoded.digests import read_digests
from metaselector.data.own.own_log import read_log
from metaselector.data.preparation import staging
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.parts import Settings

from .conftest import problem, write

SCHEMA: dict[str, Any] = {
    "version": 1,
    "name": "log",
    "user": "user",
    "item": "item",
    "time": {"column": "time", "unit": "seconds"},
    "labels": {"liked": {"column": "liked"}},
    "features": {"price": {"kind": "numeric"}, "tags": {"kind": "multivalued"}, "device": {}},
}
SORTED = """
COPY (
    SELECT * FROM (SELECT row_number() OVER () - 1 AS row, * FROM read_csv('{log}'))
    ORDER BY min(row) OVER (PARTITION BY "user"), time, row
) TO '{folder}' (FORMAT parquet, ROW_GROUP_SIZE 2048, ROW_GROUPS_PER_FILE 1)
"""
"""The layout of docs/how-to/sources.md."""


def log(rows: int = 5_000, seed: int = 0) -> pd.DataFrame:
    """Rows with ties, repeats, and words that first occur late."""
    draw = np.random.default_rng(seed)
    words = np.array(["", "a", "b|c", "c", "a|d"])
    return pd.DataFrame(
        {
            "user": draw.permutation(np.repeat(np.arange(rows // 10), 10)),
            "item": draw.integers(0, 40, rows),
            "time": draw.integers(0, rows // 100, rows) + 1_700_000_000,
            "liked": draw.integers(0, 2, rows),
            "price": draw.lognormal(size=rows).round(2),
            "tags": words[draw.integers(0, len(words), rows)],
            "device": np.array(["phone", "tablet", ""])[draw.integers(0, 3, rows)],
        }
    )


def prepared(folder: Path, interactions: str, **changes: Any) -> tuple[dict[str, str], list[str]]:
    """The digests of the prepared data, and what was said about rows."""
    schema = {**SCHEMA, "interactions": interactions, **changes}
    path = folder / "log.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in schema.items() if v is not None}))
    target = folder / f"data-{len(list(folder.iterdir()))}"
    target.mkdir()
    table = read_log(path)
    encode_to(table, target, Settings(drop_short_users=True))
    said = [text.partition(": ")[2] for text in (*table.repairs, *table.notes)]
    return read_digests(target), [text for text in said if "line" not in text]


@pytest.mark.parametrize(
    "changes",
    [{}, {"labels": None, "negatives": {"per_positive": 2, "sampling": "popularity"}}],
    ids=["labels", "negatives"],
)
def test_any_order_prepares_to_the_same_data(
    tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "USERS_IN_FILE", 64)
    monkeypatch.setattr(staging, "ROWS_AT_ONCE", 700)
    original = log()
    original.to_csv(tmp_path / "log.csv", index=False)
    expected = prepared(tmp_path, "log.csv", **changes)
    assert len(expected[0]) > 10

    numbered = original.assign(row=np.arange(len(original)))
    shuffled = numbered.sample(frac=1, random_state=1)
    shuffled.to_csv(tmp_path / "shuffled.csv", index=False)
    assert prepared(tmp_path, "shuffled.csv", **changes)[0] != expected[0]
    assert prepared(tmp_path, "shuffled.csv", row="row", **changes) == expected
    numbered[::-1].to_csv(tmp_path / "reversed.csv", index=False)
    assert prepared(tmp_path, "reversed.csv", row="row", **changes) == expected

    sorted_ = tmp_path / "sorted"
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(SORTED.format(log=tmp_path / "log.csv", folder=sorted_))
    assert len(list(sorted_.glob("*.parquet"))) > 1
    assert prepared(tmp_path, "sorted", row="row", **changes) == expected


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            ["0", "2", "3"],
            "none of the 3 rows has number 1, so another is too large or occurs twice",
        ),
        (["0", "1", "1"], "none of the 3 rows has number 2"),
    ],
)
def test_numbers_have_no_gaps(tmp_path: Path, rows: list[str], said: str) -> None:
    frame = log()[:3].assign(row=rows)
    frame.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError, match=rf"log\.csv: {said}"):
        prepared(tmp_path, "log.csv", row="row")


@pytest.mark.parametrize("row", ["", "-1", "1.5", "x"])
def test_wrong_numbers_are_named(tmp_path: Path, row: str) -> None:
    frame = log()[:3].assign(row=["0", row, "2"])
    frame.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError, match=r"log\.csv:3 \(column row\): "):
        prepared(tmp_path, "log.csv", row="row")


def test_messages_after_reading_count_the_rows_of_the_original_log(tmp_path: Path) -> None:
    frame = pd.DataFrame([("b", 1, 3, 0), ("a", 2, 2, 1), ("b", 2, 3, 1)])
    frame.columns = ["user", "item", "time", "liked"]
    frame.assign(row=[2, 0, 1]).to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "log.yaml").write_text(
        yaml.safe_dump({**SCHEMA, "interactions": "log.csv", "row": "row", "features": {}})
    )
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"log\.csv:1 \(column user\): user 'a' has a single row"):
        encode_to(read_log(tmp_path / "log.yaml"), tmp_path / "data")


def test_rows_that_lack_or_repeat_numbers_are_refused(tmp_path: Path) -> None:
    for changes in ({"where": {"device": "phone"}}, {"list": {"explode": ["what"]}}):
        assert "row: its numbers have gaps" in problem(write(tmp_path, row="other", **changes))
    assert "'other' is already the row" in problem(
        write(tmp_path, row="other", features={"other": {}})
    )

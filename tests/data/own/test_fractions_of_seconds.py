"""Fractions of seconds count for order, windows, histories and repeats, in every format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from metaselector.data.interactions import InteractionTable
from metaselector.data.own.frame import frame_log
from metaselector.data.own.own_log import read_log
from metaselector.data.preparation.encode import encode
from metaselector.data.preparation.parts import Settings
from metaselector.data.public.amazon import read_amazon
from metaselector.data.public.atomic import read_atomic

Row = tuple[str, str, int, int]
"""User, item, rating, time in milliseconds."""
Write = Callable[[Path, Sequence[Row]], InteractionTable]
START = 1_700_000_000_000
SETTINGS = Settings(label_threshold=4, history_length=3)


def world() -> list[Row]:
    """Three users with ten rows 100 ms apart; every item comes again, 200 ms later."""
    rows = []
    for user in range(3):
        rows += [
            (
                f"u{user}",
                f"i{(rank // 4) * 2 + rank % 2}",
                5 - (rank + user) % 3,
                START + 100 * rank,
            )
            for rank in range(10)
        ]
    return rows


def own(suffix: str, unit: str | None, value: Callable[[int], Any]) -> Write:
    """A writer of a log with a schema; `value` is a time in the file."""

    def write(folder: Path, rows: Sequence[Row]) -> InteractionTable:
        columns = {"user": [r[0] for r in rows], "item": [r[1] for r in rows]}
        columns |= {"rating": [r[2] for r in rows], "at": [value(r[3]) for r in rows]}
        path = folder / f"log.{suffix}"
        if suffix == "parquet":
            parquet.write_table(pa.table(columns), path)
        else:
            separator = "," if suffix == "csv" else "\t"
            pd.DataFrame(columns).to_csv(path, index=False, sep=separator)
        schema = {
            "version": 1, "interactions": path.name, "user": "user", "item": "item",
            "time": {"column": "at"} | ({"unit": unit} if unit else {}),
            "labels": {"liked": {"column": "rating", "threshold": 4}},
        }  # fmt: skip
        (folder / "log.yaml").write_text(yaml.safe_dump(schema))
        return read_log(folder / "log.yaml")

    return write


def typed(unit: str, zone: str | None, scale: int) -> Write:
    """A Parquet file with a column of Arrow's type for times."""
    type_ = pa.timestamp(unit, zone)
    return own("parquet", None, lambda time: pa.scalar(time * scale, type_))


def frame(folder: Path, rows: Sequence[Row]) -> InteractionTable:
    table = pd.DataFrame(rows, columns=["user", "item", "rating", "at"])
    table["at"] = pd.to_datetime(table["at"], unit="ms", utc=True)
    columns = {"user": "user", "item": "item", "time": "at", "label": "rating", "threshold": 4}
    made = frame_log(table, columns, folder)
    return read_log(made.schema, tables=made.tables)


def atomic(folder: Path, rows: Sequence[Row]) -> InteractionTable:
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    lines += [f"{user}\t{item}\t{rating}\t{time / 1000}" for user, item, rating, time in rows]
    (folder / "log.inter").write_text("\n".join(lines) + "\n")
    return read_atomic(folder, "log")


def amazon(folder: Path, rows: Sequence[Row]) -> InteractionTable:
    lines = [
        json.dumps({"user_id": user, "parent_asin": item, "rating": rating, "timestamp": time})
        for user, item, rating, time in rows
    ]
    (folder / "r.jsonl").write_text("\n".join(lines) + "\n")
    return read_amazon(folder / "r.jsonl")


def iso(time: int) -> str:
    return str(np.datetime64(time, "ms"))


FORMATS: dict[str, Write] = {
    "csv, milliseconds": own("csv", "milliseconds", lambda time: time),
    "csv, seconds": own("csv", "seconds", lambda time: time / 1000),
    "tsv, iso": own("tsv", "iso", iso),
    "csv, iso with Z": own("csv", "iso", lambda time: iso(time) + "Z"),
    "csv, iso with offset": own("csv", "iso", lambda time: iso(time + 7_200_000) + "+02:00"),
    "csv, iso of many forms": own(
        "csv", "iso", lambda t: iso(t).replace("20.000", "20") + "Z" * (t % 3 == 0)
    ),
    "parquet, milliseconds": own("parquet", "milliseconds", lambda time: time),
    "parquet, seconds": own("parquet", "seconds", lambda time: time / 1000),
    "parquet, iso": own("parquet", "iso", iso),
    "parquet, ms": typed("ms", None, 1),
    "parquet, us": typed("us", "UTC", 1000),
    "parquet, ns": typed("ns", "+05:30", 1_000_000),
    "data frame": frame,
    "atomic": atomic,
    "amazon": amazon,
}


def encoded(table: InteractionTable) -> dict[str, list[Any]]:
    """Every user's rows, in the order of preparation."""
    dataset = encode(table, SETTINGS)
    ids, values = dataset.batch(np.arange(len(dataset)))
    found = {}
    for user, start in enumerate(dataset.user_offsets[:-1].tolist()):
        rows = slice(start, dataset.user_offsets[user + 1])
        parts = (dataset.timestamps, dataset.labels, dataset.history_sizes, ids, values)
        found[dataset.user_names[user]] = [part[rows].tolist() for part in parts]
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_the_order_of_the_file_does_not_matter(tmp_path: Path, name: str) -> None:
    up, down = tmp_path / "up", tmp_path / "down"
    up.mkdir()
    down.mkdir()
    rows = world()
    oldest_first = FORMATS[name](up, rows)
    newest_first = FORMATS[name](down, [*reversed(rows), rows[7], rows[7]])
    found = encoded(oldest_first)
    assert encoded(newest_first) == found
    for user, (times, _, sizes, *_) in found.items():
        assert times == [1000 * row[3] for row in rows if row[0] == user]
        liked = np.cumsum([row[2] >= 4 for row in rows if row[0] == user])
        assert sizes == [0, *liked[:8], liked[8]]  # of the test window, too: it has one row
    assert oldest_first.repairs == oldest_first.notes == []
    (repair,) = newest_first.repairs
    assert "2 rows repeat the user, item and time of an earlier row" in repair
    (note,) = newest_first.notes
    assert "27 of 30 rows come in the file before an older row of their user" in note


def test_histories_are_strictly_earlier_to_the_microsecond(tmp_path: Path) -> None:
    times = [0, 1, 1, 2, 1000, 1001, 1001, 2000, 3000, 4000]  # microseconds
    write = own("parquet", None, lambda time: pa.scalar(START * 1000 + time, pa.timestamp("us")))
    table = write(tmp_path, [("u", f"i{i}", 5, time) for i, time in enumerate(times)])
    (user,) = encoded(table).values()
    assert user[0] == [START * 1000 + time for time in times]
    assert user[2] == [0, 1, 1, 3, 4, 5, 5, 7, 8, 9]
    (note,) = table.notes
    assert "40 % of the rows (4 of 10) share their time with another row of their user" in note

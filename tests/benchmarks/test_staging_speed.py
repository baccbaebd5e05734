"""The comparison with DuckDB at a tiny size: equal rows in equal order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import parquet
from typer.testing import CliRunner

from benchmarks import staging_speed
from benchmarks.staging_speed import STEPS, WAYS, WORDS, app, checksum, in_duckdb, ours
from benchmarks.synthetic_log import FORMATS, write_log


def made(folder: Path, format_: str, step: str) -> list[NDArray[np.int64]]:
    found = []
    for way in (ours, in_duckdb):
        scratch = folder / way.__name__
        scratch.mkdir()
        found.append(np.concatenate(list(way(folder / "log", format_, scratch, step))))
    return found


@pytest.mark.parametrize("format_", FORMATS)
def test_both_ways_make_the_same_rows(tmp_path: Path, format_: str) -> None:
    write_log(tmp_path / "log", 3_000)
    found = made(tmp_path, format_, "sorted")
    assert found[0].shape == (3_000, len(WORDS) + 1)
    assert np.array_equal(*found)
    assert (found[0] == -1).any()  # some words are missing


@pytest.mark.parametrize("format_", FORMATS)
def test_both_ways_clean_and_count_alike(tmp_path: Path, format_: str) -> None:
    """Of a log with repeated rows, and a user of a single one."""
    write_log(tmp_path / "log", 3_000)
    path = tmp_path / "log" / format_ / f"log.{format_}"
    if format_ == "csv":
        lines = path.read_text(encoding="utf-8").splitlines()[1:40:3]
        with path.open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, f"single,{lines[0].partition(',')[2]}"]) + "\n")
    else:
        table = parquet.read_table(path)
        some = table.take(list(range(0, 39, 3)))
        alone = table[:1].set_column(0, "user_id", pa.array(["single"], table.schema[0].type))
        parquet.write_table(pa.concat_tables([table, some, alone]), path)
    found = made(tmp_path, format_, "counted")
    assert np.array_equal(*found)
    rows = [line for line in found[0].tolist() if line[-1]]
    assert len(rows) == 2_999  # row 0 of the file, whose last number is 0, is one of the 3,000


def test_the_checksum_depends_on_values_and_order_and_not_on_blocks() -> None:
    rows = np.arange(12).reshape(4, 3)
    assert checksum(iter([rows])) == checksum(iter([rows[:1], rows[1:]]))
    assert checksum(iter([rows])) != checksum(iter([rows[::-1]]))
    assert checksum(iter([rows])) != checksum(iter([rows + 1]))


def test_main_writes_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_speed, "FORMATS", ("csv",))
    path = tmp_path / "staging.json"
    options = ["compare", "--work", str(tmp_path), "--rows", "2000", "--json", str(path)]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text("utf-8"))
    assert found["ours_csv_sorted"]["rows"] == 2_000
    assert found["ours_csv_counted"]["rows"] > 2_000  # and the counts
    for step in STEPS:
        ours_, duckdb = (found[f"{way}_csv_{step}"] for way in WAYS)
        assert ours_["checksum"] == duckdb["checksum"]

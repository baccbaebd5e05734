"""The comparison with DuckDB at a tiny size: equal rows in equal order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.staging_speed import WORDS, app, checksum, in_duckdb, ours
from benchmarks.synthetic_log import FORMATS, write_log


@pytest.mark.parametrize("format_", FORMATS)
def test_both_ways_make_the_same_rows(tmp_path: Path, format_: str) -> None:
    write_log(tmp_path / "log", 3_000)
    found = []
    for way in (ours, in_duckdb):
        scratch = tmp_path / way.__name__
        scratch.mkdir()
        found.append(np.concatenate(list(way(tmp_path / "log", format_, scratch))))
    assert found[0].shape == (3_000, len(WORDS) + 1)
    assert np.array_equal(*found)
    assert (found[0] == -1).any()  # some words are missing


def test_the_checksum_depends_on_values_and_order_and_not_on_blocks() -> None:
    rows = np.arange(12).reshape(4, 3)
    assert checksum(iter([rows])) == checksum(iter([rows[:1], rows[1:]]))
    assert checksum(iter([rows])) != checksum(iter([rows[::-1]]))
    assert checksum(iter([rows])) != checksum(iter([rows + 1]))


def test_main_writes_the_figures(tmp_path: Path) -> None:
    path = tmp_path / "staging.json"
    options = ["compare", "--work", str(tmp_path), "--rows", "2000", "--json", str(path)]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text("utf-8"))
    assert found["ours_csv"]["rows"] == 2_000
    assert found["duckdb_parquet"]["checksum"] == found["ours_csv"]["checksum"]

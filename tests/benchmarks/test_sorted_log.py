"""The preparation of a log that Spark sorted, compared with that of the log."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import sorted_log
from metaselector.common.errors import UserError


def test_what_is_missing_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_log, "find_spec", lambda name: None)
    done = CliRunner().invoke(sorted_log.app, ["--work", str(tmp_path / "log")])
    assert isinstance(done.exception, UserError)
    assert "needs Java 17 or newer and Spark: pip install" in str(done.exception)
    assert not (tmp_path / "log").exists()


@pytest.mark.slow
def test_main_writes_the_figures(tmp_path: Path) -> None:
    pytest.importorskip("pyspark.sql", reason="pip install -e '.[spark]' brings it")
    if shutil.which("java") is None:
        pytest.skip("examples/sort_with_spark.py needs Java 17 or newer")
    path = tmp_path / "sorted.json"
    done = CliRunner().invoke(sorted_log.app, ["--rows", "3000", "--json", str(path)])
    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text())
    assert found["rows"] == 3000
    assert found["equal_files"] > 10
    assert found["sorted"]["seconds"] > 0

"""The command that is offered after training on a log of one's own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metaselector.cli.next_step import predict_own_log
from metaselector.config import Config

SCHEMA = """
version: 1
user: who
item: what
time: {{column: at, unit: seconds}}
labels: {{clicked: {{column: clicked}}}}
interactions: {}
"""


@pytest.mark.parametrize(
    ("interactions", "data", "log"),
    [
        ("clicks.csv", None, "clicks.csv"),
        ("clicks.csv", "new.jsonl.zst", "new.jsonl.zst"),
        ("'logs/*.csv'", None, "logs/*.csv"),
        ("clicks.xlsx", None, None),
        ("clicks.csv", "new.XLSX", None),
        ("{query: SELECT 1}", None, None),
        ("{query: SELECT 1}", "clicks.csv", "clicks.csv"),
    ],
)
def test_only_logs_that_predict_reads_are_offered(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    interactions: str,
    data: str | None,
    log: str | None,
) -> None:
    schema = tmp_path / "shop.yaml"
    schema.write_text(SCHEMA.format(interactions))
    run: Any = SimpleNamespace(
        config=Config(dataset=str(schema)), scored=False, directory=tmp_path / "run"
    )
    predict_own_log(run, None if data is None else tmp_path / data)
    told = capsys.readouterr().err
    if log is None:
        assert told == ""
    else:
        assert f"predict --run {run.directory} --history " in told
        assert str(tmp_path / log) in told

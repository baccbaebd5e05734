"""The cost of verifying prepared data."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import verify_speed
from metaselector.data.encoded.dataset import EncodedDataset


def test_what_is_timed_is_read(tmp_path: Path) -> None:
    verify_speed.write(tmp_path / "data", 1_001)
    dataset = EncodedDataset.load(tmp_path / "data")
    assert len(dataset) == 1_001
    assert dataset.num_users == 21


def test_the_table_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"rows": 1_000, "verify": 0.5, "open": 0.1}
    monkeypatch.setattr(verify_speed, "read", lambda task, directory: found)
    verify_speed.main(rows=1_000, repeats=2)
    assert "0.50" in capsys.readouterr().out

"""When a page measures headroom by itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from metaselector.common.errors import DataError, UserError
from metaselector.common.progress import Silent
from metaselector.runs.stages import kept_headroom
from metaselector.runs.stages.headroom import WINDOWS, HeadroomTable
from metaselector.runs.stages.kept_headroom import MOST_ROWS, add_headroom
from tests.report.invented import headroom


class Noted(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Add headroom to tables ``a`` and ``b`` of `rows` test rows, each with predictions.

    `wrong` is raised for ``a``. Returns the notes.
    """
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in WINDOWS.values():
            (tmp_path / name / file).touch()

    def added(rows: int = 10, wrong: Exception | None = None) -> list[str]:
        def measured(run: Any, place: HeadroomTable, seeds: Any, *_: Any) -> Any:
            if wrong is not None and place.folder.name == "a":
                raise wrong
            return headroom(seeds)

        test = SimpleNamespace(flat=lambda part: (np.zeros(rows), None))
        split: Any = SimpleNamespace(test=test)
        places = [HeadroomTable(tmp_path / name, split, 0) for name in ("a", "b", "none")]
        monkeypatch.setattr(kept_headroom, "headroom_tables", lambda run: places)
        monkeypatch.setattr(kept_headroom, "measured_seeds", lambda run: (0, 1))
        monkeypatch.setattr(kept_headroom, "measure_table", measured)
        run: Any = SimpleNamespace(directory=tmp_path)
        progress = Noted()
        add_headroom(run, progress)
        return progress.notes

    return added


def _written(folder: Path) -> list[str]:
    found = (*folder.rglob("headroom.csv"), *folder.rglob("headroom.png"))
    return sorted(path.relative_to(folder).as_posix() for path in found)


BOTH = ["a/figures/headroom.png", "a/headroom.csv", "b/figures/headroom.png", "b/headroom.csv"]


def test_each_evaluated_table_gets_one(tmp_path: Path, add: Any) -> None:
    assert add() == []
    assert _written(tmp_path) == BOTH
    before = (tmp_path / "a" / "headroom.csv").read_bytes()
    assert before.decode().startswith("window,seed,figure,models,n,value,low,high\n")


def test_what_is_measured_stays(tmp_path: Path, add: Any) -> None:
    (tmp_path / "a" / "headroom.csv").write_text("mine")
    add()
    assert (tmp_path / "a" / "headroom.csv").read_text() == "mine"
    assert _written(tmp_path) == BOTH[1:]


def test_a_large_run_is_left_to_the_command(tmp_path: Path, add: Any) -> None:
    (note,) = add(MOST_ROWS // 2)
    assert f"`metaselector headroom --run {tmp_path}`" in note
    assert "1,000,000 predictions" in note
    assert _written(tmp_path) == []
    assert add(MOST_ROWS // 4) == []
    assert _written(tmp_path) == BOTH


def test_a_table_with_too_few_users_stays_without(tmp_path: Path, add: Any) -> None:
    assert add(wrong=UserError("headroom needs at least 2 users; got 1")) == []
    assert _written(tmp_path) == BOTH[2:]


def test_damaged_predictions_are_told(tmp_path: Path, add: Any) -> None:
    with pytest.raises(DataError, match="damaged"):
        add(wrong=DataError(tmp_path, "is damaged"))

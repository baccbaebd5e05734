"""Figures and defects of a campaign."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from planted import catalogue

from benchmarks.fuzz.attempt import Outcome
from benchmarks.fuzz.pool import Tried
from benchmarks.fuzz.summary import KEPT, Summary, save, signature


def failure(number: int, said: str = "KeyError: 'x'", where: str = "a.py:1 f") -> Tried:
    return Tried("traceback", number, Outcome("traceback", said, where, "...", 0.5, 3.0))


def test_a_defect_is_told_once_and_counted(tmp_path: Path) -> None:
    summary = Summary(catalogue(tmp_path), 0, tmp_path / "found")
    assert summary.add(Tried("success", 0, Outcome("success", seconds=1.25, mb=7.0))) is None
    said = [summary.add(failure(number)) for number in range(KEPT + 2)]
    assert said[0] is not None
    assert said[0].startswith("traceback 0: KeyError at a.py:1 f: KeyError: 'x'; kept in ")
    assert said[1:] == [None] * (KEPT + 1)
    assert summary.add(failure(9, where="a.py:2 f")) is not None
    assert dict(summary.defects) == {"KeyError at a.py:1 f": KEPT + 2, "KeyError at a.py:2 f": 1}
    kept = sorted(path.name for path in (tmp_path / "found").iterdir())
    assert kept == ["traceback-0", "traceback-1", "traceback-2", "traceback-9"]
    told = (tmp_path / "found" / "traceback-1" / "finding.txt").read_text()
    assert told.startswith("python -m benchmarks.fuzz --seed 0 --target traceback --only 1\n")
    assert (tmp_path / "found" / "traceback-1" / "number").exists()

    figures = summary.figures("inputs")
    assert figures.pop("targets").keys() == {"success", "traceback"}
    assert figures == {
        "tried": 7,
        "success": 1,
        "refused": 0,
        "findings": 6,
        "worst_seconds": 1.25,
        "worst_mb": 7.0,
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome("different", "user u7 has other rows"), "different (t): user u has other rows"),
        (Outcome("slow", "more than 5 s", "a.py:3 g"), "slow at a.py:3 g"),
        (Outcome("crashed", "exit code -11"), "crashed at t"),
    ],
)
def test_signatures(outcome: Outcome, expected: str) -> None:
    assert signature(Tried("t", 3, outcome)) == expected


def test_groups_that_were_not_tried_keep_their_figures(tmp_path: Path) -> None:
    path = tmp_path / "fuzz.json"
    save(path, {"inputs": {"tried": 1}, "kills": {"tried": 2}})
    save(path, {"kills": {"tried": 3}})
    found = json.loads(path.read_text())
    assert (found["inputs"]["tried"], found["kills"]["tried"]) == (1, 3)
    assert len(found["inputs"]["date"]) == 10
    assert {"machine", "versions", "command", "date"} <= found.keys()

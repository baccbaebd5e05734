"""Processes that end or hang are replaced, and their current input is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from planted import catalogue

from benchmarks.fuzz import pool
from benchmarks.fuzz.pool import Job, try_all


def test_all_outcomes_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_GRACE", 1.0)
    kinds = ("success", "refused", "traceback", "different", "crashed", "hung")
    numbers = {kind: (4, 7) if kind in ("crashed", "success") else (1,) for kind in kinds}
    jobs = [Job(name, given) for name, given in numbers.items()]
    found = [*try_all(jobs, catalogue, tmp_path, seed=0, processes=2)]
    assert Counter((f.target, f.number) for f in found) == Counter(
        (name, number) for name, given in numbers.items() for number in given
    )
    assert all(f.outcome.kind == f.target for f in found)
    assert {f.outcome.said for f in found if f.target == "crashed"} == {"exit code 3"}

"""The number of threads that is fastest for a task is the one that counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from benchmarks import measure

SECONDS = {("small", 1): 1.0, ("small", 2): 2.0, ("large", 1): 9.0, ("large", 2): 5.0}


def test_each_task_counts_with_its_fastest_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(tasks: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
        return {name: [SECONDS[task()] for _ in range(repeats)] for name, task in tasks.items()}

    monkeypatch.setattr(measure, "interleaved", timed)
    before = torch.get_num_threads()
    tasks = {name: lambda name=name: (name, torch.get_num_threads()) for name in ("small", "large")}
    seconds, threads = measure.fastest(tasks, threads=(1, 2), repeats=3)
    assert seconds == {"small": [1.0] * 3, "large": [5.0] * 3}
    assert threads == {"small": 1, "large": 2}
    assert torch.get_num_threads() == before

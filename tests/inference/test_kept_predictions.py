"""Predictions come back in the order of the rows, whatever order they were written in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metaselector.inference.kept_predictions import KeptPredictions
from metaselector.inference.trained import UserPredictions


@pytest.mark.parametrize("tasks", [(), (2,)])
def test_any_order(tmp_path: Path, tasks: tuple[int, ...]) -> None:
    draw = np.random.default_rng(0)
    n, order = 50, draw.permutation(50)
    made = UserPredictions(draw.random((n, *tasks)), draw.random((n, 3, *tasks), dtype=np.float32))
    with KeptPredictions(tmp_path / "kept") as kept:
        for part in (order[:20], order[:0], order[20:45], order[45:]):
            rows = np.sort(part)
            kept.write(rows, UserPredictions(*(column[rows] for column in made)))
        parts = [kept.read(size) for size in (1, 30, 19)]
    for found, expected in zip(zip(*parts, strict=True), made, strict=True):
        assert np.array_equal(np.concatenate(found), expected)
        assert found[0].dtype == expected.dtype

"""The benchmark of predictions at a tiny size."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import measure, predict_speed
from metaselector.common.errors import UnknownWarning
from metaselector.data.public.atomic import read_atomic


@pytest.fixture
def log() -> pd.DataFrame:
    sizes = {"a": 4, "b": 2, "c": 5}
    rows = [(u, f"i{k}", 5.0, 100 - k) for u, size in sizes.items() for k in range(size)]
    return pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"])


def test_each_user_has_their_last_rows(log: pd.DataFrame) -> None:
    rows = predict_speed.new_rows(log, users=3, history=2, candidates=1)
    past, asked = rows
    assert past["user"].value_counts().to_dict() == {"a": 2, "c": 2, "a again 1": 2} or (
        past["user"].value_counts().to_dict() == {"a": 2, "c": 2, "c again 1": 2}
    )
    assert asked["user"].value_counts().eq(1).all()
    assert asked["item"].eq("i0").all()  # the latest
    assert past["item"].tolist().count("i1") == past["item"].tolist().count("i2") == 3
    assert "rating" not in asked
    assert rows.of_users(1).candidates.shape == (1, 3)


def test_figures_compare_one_call_with_many() -> None:
    seconds = {"one call": [2.0, 1.0, 3.0], "adapted already": [0.5], "4 users alone": [4.0]}
    assert predict_speed.figures(seconds, users=10, alone=4) == {
        "users": 10,
        "one_call_seconds": 2.0,
        "adapted_already_seconds": 0.5,
        "alone_seconds_a_user": 1.0,
        "over_alone": 5.0,
    }


def test_other_keys_of_the_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"bootstrap": {"seconds": 3}, "predict_users": 1}))
    measure.save_in(path, predict_speed.KEY, {"users": 5})
    found = json.loads(path.read_text())
    assert found["bootstrap"] == {"seconds": 3}
    assert found["predict_users"]["users"] == 5
    assert "command" in found["predict_users"]


def test_a_small_world_goes_through(write_world: Callable[..., Path], tmp_path: Path) -> None:
    world = write_world(tmp_path / "world")
    model = predict_speed.trained(world, tmp_path / "model", threads=1)
    log = read_atomic(world, "ml-100k").interactions.drop(columns="line")
    rows = predict_speed.new_rows(log, users=45, history=8, candidates=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownWarning)
        seconds = predict_speed.measured(model, rows, repeats=1, alone=2)
    found = predict_speed.figures(seconds, 45, alone=2)
    assert all(value > 0 for value in found.values())

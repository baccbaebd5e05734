"""Headroom of a run and of other systems' predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from .conftest import Invoke, contents


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    users = rng.choice(["ann", "bob", "NA", "007"], size=60)
    return pd.DataFrame(
        {
            "user": users,
            "label": rng.integers(2, size=60),
            "mine": rng.random(60),
            "theirs": rng.random(60),
        }
    )


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def test_of_a_run(invoke: Invoke, pretrained: Path) -> None:
    assert invoke("meta-train", "--run", pretrained).code == 0
    assert invoke("evaluate", "--run", pretrained).code == 0
    before = contents(pretrained)
    done = invoke("headroom", "--run", pretrained, "--resamples", 5)
    assert done.code == 0, done.err
    assert "test: what choosing among lr, fm can win" in done.out
    assert "valid: what choosing among lr, fm can win" in done.out
    assert "50% of users have at most 5" in done.out
    after = contents(pretrained)
    assert set(after) - set(before) == {"headroom.csv"}
    assert {name: after[name] for name in before} == before
    found = _read(pretrained / "headroom.csv")
    assert list(found.columns) == ["window", "figure", "models", "n", "value", "low", "high"]
    assert set(found["window"]) == {"test", "valid"}
    assert set(found["models"]) == {"lr+fm"}
    results = pd.read_csv(pretrained / "results.csv").set_index("model")["logloss"]
    test = found[found["window"] == "test"].set_index("figure")["value"]
    assert test["best-single"] == pytest.approx(results[["lr", "fm"]].min(), abs=1e-5)
    oracle = test["best-single"] - results["oracle-user"]
    assert test["oracle"] == pytest.approx(oracle, abs=1e-5)
    again = invoke("headroom", "--run", pretrained, "--resamples", 5)
    assert again.code == 0
    assert contents(pretrained) == after

    assert "seed 3" in invoke("headroom", "--run", pretrained, "--seed", 3).error


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_of_a_table(invoke: Invoke, table: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"theirs.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    done = invoke("headroom", "--predictions", path, "--resamples", 5)
    assert done.code == 0, done.err
    found = _read(tmp_path / "headroom.csv")
    assert set(found["models"]) == {"mine+theirs"}
    assert set(found["window"]) == {"theirs"}
    other = tmp_path / "other.csv"
    done = invoke("headroom", "--predictions", path, "--resamples", 5, "--output", other)
    assert done.code == 0, done.err
    assert other.read_bytes() == (tmp_path / "headroom.csv").read_bytes()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"user": None}, "theirs.csv (column user): users: 60 of 60 are missing"),
        ({"label": 2}, "(column label): labels: 60 of 60 are neither 0 nor 1"),
        ({"mine": 1.5}, "(column mine): predictions: 60 of 60 are not in [0, 1]"),
        ({"mine": "high"}, "(column mine): predictions are not an array of numbers"),
        ({"user": "ann"}, "headroom needs at least 2 users; got 1"),
    ],
)
def test_wrong_values(
    invoke: Invoke, table: pd.DataFrame, tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    path = tmp_path / "theirs.csv"
    table.assign(**change).to_csv(path, index=False)
    assert problem in invoke("headroom", "--predictions", path).lone_error
    assert not (tmp_path / "headroom.csv").exists()


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (["label", "mine"], "(column user): column is missing"),
        (["user", "mine"], "(column label): column is missing"),
        (["user", "label"], "has no column of probabilities besides user and label"),
    ],
)
def test_missing_columns(
    invoke: Invoke, table: pd.DataFrame, tmp_path: Path, columns: list[str], problem: str
) -> None:
    path = tmp_path / "theirs.csv"
    table[columns].to_csv(path, index=False)
    assert problem in invoke("headroom", "--predictions", path).lone_error


def test_wrong_files(invoke: Invoke, table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    assert "file not found" in invoke("headroom", "--predictions", path).lone_error
    path.write_text("")
    assert "cannot be read" in invoke("headroom", "--predictions", path).lone_error
    table[:0].to_csv(path, index=False)
    assert "has no rows" in invoke("headroom", "--predictions", path).lone_error
    damaged = tmp_path / "theirs.parquet"
    damaged.write_bytes(b"PAR1 no more")
    assert "theirs.parquet" in invoke("headroom", "--predictions", damaged).lone_error
    error = invoke("headroom", "--predictions", tmp_path / "theirs.xls").lone_error
    assert "choose a file that ends in .csv or .parquet" in error


def test_options_that_exclude_each_other(invoke: Invoke, tmp_path: Path) -> None:
    both = invoke("headroom", "--run", tmp_path, "--predictions", tmp_path / "a.csv")
    assert both.lone_error == "pass either --run or --predictions"
    done = invoke("headroom", "--run", tmp_path, "--output", tmp_path / "a.csv")
    assert done.lone_error == "--output is for --predictions; a run's headroom.csv is kept in it"


def test_a_run_that_was_not_evaluated(invoke: Invoke, prepared: Path) -> None:
    error = invoke("headroom", "--run", prepared).error
    assert "predictions.parquet: file not found; run `metaselector evaluate` again" in error

"""Headroom of a run and of other systems' predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.config import load_config
from metaselector.data.splitting.protocol import WINDOWS
from metaselector.evaluate.metrics import logloss
from metaselector.runs.run import Run

from .conftest import Invoke, contents, prepare


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
    assert set(after) - set(before) == {"headroom.csv", "figures/headroom.png"}
    assert {name: after[name] for name in before} == before
    found = _read(pretrained / "headroom.csv")
    assert list(found.columns) == [
        "window", "seed", "figure", "models", "n", "value", "low", "high",
    ]  # fmt: skip
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


def test_before_evaluation_the_base_models_predict(invoke: Invoke, pretrained: Path) -> None:
    """Headroom is the same as from the predictions of an evaluated run."""
    assert invoke("headroom", "--run", pretrained, "--resamples", 5).code == 0
    before = (pretrained / "headroom.csv").read_bytes()
    assert invoke("meta-train", "--run", pretrained).code == 0
    assert invoke("evaluate", "--run", pretrained).code == 0
    assert (pretrained / "headroom.csv").read_bytes() == before, "of the same base models"
    assert invoke("headroom", "--run", pretrained, "--resamples", 5).code == 0
    assert (pretrained / "headroom.csv").read_bytes() == before
    other = _read(pretrained / "headroom.csv")
    other["value"] += 0.1
    other.to_csv(pretrained / "headroom.csv", index=False)
    assert invoke("evaluate", "--run", pretrained).code == 0
    assert not [*pretrained.rglob("headroom.*")], "that of other base models is removed"


def test_of_files_of_scores(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    """Only the data is prepared; nothing is trained."""
    rng, n = np.random.default_rng(0), len(pd.read_csv(raw / "ml-100k.inter", sep="\t"))
    lines, scores = ["seeds: [0, 1]", "base_models:"], {}
    for name in ("mine", "theirs"):
        scores[name] = {window: rng.uniform(0.05, 0.95, n) for window in WINDOWS}
        for window, values in scores[name].items():
            table = pd.DataFrame({"row": np.arange(n), "score": values})
            table.to_csv(tmp_path / f"{name}-{window}.csv", index=False)
        lines.append(f"  {name}: {{scores: {{file: '{tmp_path}/{name}-{{window}}.csv'}}}}")
    config, run = tmp_path / "scores.yaml", tmp_path / "run"
    config.write_text("\n".join(lines))
    assert prepare(invoke, raw, run, "--config", config).code == 0
    done = invoke("headroom", "--run", run, "--resamples", 5)
    assert done.code == 0, done.err
    assert not (run / "checkpoints").exists()
    found = _read(run / "headroom.csv")
    assert set(found["models"]) == {"mine+theirs"}
    assert set(found["seed"].dropna()) == {0}, "files have the same scores for all seeds"
    this = Run(run, load_config(run / "config.yaml"))
    (split,) = this.protocol.evaluation_splits
    for window, episodes, trained_on in (
        ("valid", split.valid, "train"),
        ("test", split.test, "full"),
    ):
        rows, _ = episodes.flat("query")
        places, y = this.dataset.source_rows[rows], this.dataset.labels[rows]
        losses = [logloss(y, of[trained_on][places]) for of in scores.values()]
        best = found[(found["window"] == window) & (found["figure"] == "best-single")]
        assert best["value"].item() == pytest.approx(min(losses), abs=1e-5)


def test_of_several_seeds(invoke: Invoke, raw: Path, settings: Path, tmp_path: Path) -> None:
    run, config = tmp_path / "run", tmp_path / "seeds.yaml"
    config.write_text(settings.read_text() + "seeds: [3, 1]\n")
    assert prepare(invoke, raw, run, "--config", config).code == 0
    assert invoke("pretrain", "--run", run).code == 0
    done = invoke("headroom", "--run", run, "--resamples", 5)
    assert done.code == 0, done.err
    assert "seed 3" in done.out
    assert "seed 1" in done.out
    found = _read(run / "headroom.csv")
    found = found[~found["figure"].str.startswith("support")]
    keys = ["window", "figure", "models", "n"]
    mean = found[found["seed"].isna()].set_index(keys)
    three, one = (found[found["seed"] == seed].set_index(keys) for seed in (3, 1))
    no_p = mean.index.get_level_values("figure") != "chance-p"
    for column in ("value", "low", "high"):
        expected = (three[column] + one[column])[no_p] / 2
        np.testing.assert_allclose(mean[column][no_p], expected, atol=2e-6)
    assert mean["value"][~no_p].isna().all()
    assert not three["value"].equals(one["value"])
    assert invoke("headroom", "--run", run, "--resamples", 5, "--seed", 1).code == 0
    alone = _read(run / "headroom.csv").query("seed == 1").set_index(keys)
    pd.testing.assert_frame_equal(alone, one)


def test_the_figure(invoke: Invoke, pretrained: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    """A run's is beside its results; of other predictions, it is written where asked."""
    path, figure = tmp_path / "theirs.csv", tmp_path / "figures" / "gain.PNG"
    table.to_csv(path, index=False)
    done = invoke("headroom", "--predictions", path, "--resamples", 5, "--figure", figure)
    assert done.code == 0, done.err
    assert str(figure) in done.out
    assert figure.read_bytes().startswith(b"\x89PNG")
    done = invoke("headroom", "--run", pretrained, "--resamples", 5, "--figure", figure)
    assert done.code == 0, done.err
    assert figure.read_bytes() == (pretrained / "figures" / "headroom.png").read_bytes()


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


def test_a_figure_that_cannot_be(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    done = invoke("headroom", "--predictions", tmp_path / "a.csv", "--figure", tmp_path / "a.pdf")
    assert "a.pdf: choose a file name that ends in .png" in done.lone_error
    run, figure, config = tmp_path / "run", tmp_path / "a.png", tmp_path / "cold.yaml"
    config.write_text("protocol: cold\ncold: {support_sizes: [2, 5]}\n")
    assert prepare(invoke, raw, run, "--config", config).code == 0
    done = invoke("headroom", "--run", run, "--figure", figure)
    assert "--figure is for one table" in done.error
    assert "figures/headroom.png in the folder of its results" in done.error


def test_a_run_whose_base_models_are_not_trained(invoke: Invoke, prepared: Path) -> None:
    error = invoke("headroom", "--run", prepared).error
    assert "base-lr-full.safetensors: checkpoint not found; run the training step" in error

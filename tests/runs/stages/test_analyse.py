"""Analysis of tiny runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from metaselector.common.errors import DataError
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.evaluate.predictions import load_predictions
from metaselector.runs.run import Run
from metaselector.runs.stages.analyse import STEPS, analyse
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.reproduce import evaluate_and_report
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from tests.runs.notes import Notes

WriteWorld = Callable[..., Path]
Make = Callable[..., Run]
VARIANTS = ["metaselector-simplified", "metaselector"]
PAPER = ["metaselector-paper-simplified", "metaselector-paper"]


@pytest.fixture(scope="module")
def make(write_world: WriteWorld, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """An evaluated run of a tiny world with some base models and settings."""

    def made(*models: str, settings: tuple[str, ...] = ()) -> Run:
        folder = tmp_path_factory.mktemp("analyse")
        quick = (
            "meta_train.epochs=1",
            "selector.epochs=1",
            "paper.epochs=1",
            "adapt.support_size=5",
            "evaluate.resamples=20",
        )
        chosen = folder / "models.yaml"  # a file's base models replace the defaults
        short = ", ".join(f"{name}: {{pretrain: {{epochs: 1}}}}" for name in models)
        chosen.write_text(f"base_models: {{{short}}}\n")
        config = load_config(chosen, (*quick, "threads=1", *settings))
        run = Run(folder / "run", config)
        prepare_run(run, write_world(folder / "raw"), folder)
        pretrain_base_models(run, Silent())
        meta_train_selectors(run, Silent())
        evaluate_and_report(run, Silent())
        return run

    return made


@pytest.fixture(scope="module")
def run(make: Make) -> Run:
    """Two base models, two seeds."""
    run = make("lr", "fm", settings=("seeds=[0,3]",))
    analyse(run, Silent())
    return run


def table(run: Run, name: str) -> pd.DataFrame:
    return pd.read_csv(run.directory / "analysis" / f"{name}.csv")


def digests(run: Run) -> dict[str, str]:
    """Return the digest of every file outside of ``analysis/``."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run.directory.rglob("*")
        if path.is_file() and "analysis" not in path.parts
    }


def test_the_base_models_of_train_predict_valid(run: Run) -> None:
    valid = load_predictions(run.directory / "valid_predictions.parquet")
    assert list(valid[["seed", "model"]].drop_duplicates().itertuples(index=False, name=None)) == [
        (0, "lr"), (0, "fm"), (3, "lr"), (3, "fm"),
    ]  # fmt: skip
    dataset = run.dataset
    rows = set(dataset.source_rows.reshape(40, 30)[:, 24:27].ravel())  # 80 to 90 of 30 rows
    assert set(valid["row"]) == rows
    model = run.checkpoints.load_base("fm", "train", 3)
    mine = valid[(valid["seed"] == 3) & (valid["model"] == "fm")].set_index("row")["p"]
    position = np.flatnonzero(np.isin(dataset.source_rows, list(rows)))
    with torch.no_grad():
        p = torch.sigmoid(model(dataset.batch(position)).double())
    assert mine[dataset.source_rows[position]].tolist() == pytest.approx(p.tolist(), abs=1e-6)


def test_steps_as_trained_give_the_results(run: Run) -> None:
    steps = table(run, "steps")
    assert set(steps["steps"]) == {*STEPS, run.config.adapt.steps}
    same = steps[steps["steps"] == run.config.adapt.steps].set_index(["seed", "model"])
    results = pd.read_csv(run.directory / "results.csv").set_index(["seed", "model"])
    assert len(same) == 4
    for metric in ("auc", "logloss"):
        expected = results.loc[same.index, metric]
        pd.testing.assert_series_equal(same[metric], expected, rtol=1e-6)


def test_users_that_were_not_evaluated_are_left_out(make: Make) -> None:
    run = make("lr", settings=("evaluate.max_users=7",))
    analyse(run, Silent())
    predictions = load_predictions(run.directory / "predictions.parquet")
    evaluated = predictions.loc[predictions["model"] == "lr", ["row", "user"]]
    assert evaluated["user"].nunique() == 7
    rows = table(run, "rows")[["row", "user"]]
    assert rows.sort_values("row").to_numpy().tolist() == (
        evaluated.sort_values("row").to_numpy().tolist()
    )
    trained = table(run, "steps").query("steps == trained_steps").set_index("model")["logloss"]
    results = pd.read_csv(run.directory / "results.csv").set_index("model")["logloss"]
    assert trained.to_dict() == pytest.approx(results[VARIANTS].to_dict(), rel=1e-6)


def test_tables_agree_with_what_evaluation_wrote(run: Run) -> None:
    best = table(run, "best_models").query("window == 'test' and fitted_on == 'train+valid'")
    counts = pd.read_csv(run.directory / "best_counts.csv")
    assert best[["seed", "model", "users"]].to_numpy().tolist() == (
        counts[["seed", "model", "users"]].to_numpy().tolist()
    )
    results = pd.read_csv(run.directory / "results.csv").groupby("model")["logloss"].mean()
    bins = table(run, "breakdown").query("fact == 'item_train_rows'")
    assert set(bins["model"]) > set(VARIANTS)
    # The best single model may differ between seeds, so compare differences of improvements.
    means = {
        model: (frame["improvement"] * frame["rows"]).sum() / frame["rows"].sum()
        for model, frame in bins.groupby("model")
    }
    for model, mean in means.items():
        expected = results[VARIANTS[0]] - results[model]
        assert mean - means[VARIANTS[0]] == pytest.approx(expected, abs=1e-6)
    history = pd.read_csv(run.directory / "history.csv")
    assert set(history.loc[history["seconds"].notna(), "stage"]) == {"meta-train"}
    assert table(run, "cost")[["seed", "model"]].to_numpy().tolist() == [
        [seed, model] for seed in (0, 3) for model in (*PAPER, *VARIANTS)
    ]


def test_nothing_else_changes_and_all_is_said_again(run: Run) -> None:
    before = digests(run)
    first = {path: path.read_bytes() for path in analyse(run, Silent())}
    assert first == {path: path.read_bytes() for path in analyse(run, Silent())}
    assert digests(run) == before
    assert {path.suffix for path in first} == {".csv", ".png", ".md"}


def test_missing_rows_leave_out_what_needs_them(run: Run) -> None:
    path = run.directory / "predictions.parquet"
    before = path.read_bytes()
    whole = pd.read_parquet(path)
    try:
        whole[whole["model"].isin(["lr", "fm", "metaselector"])].to_parquet(path)
        analyse(run, Silent())
        assert set(table(run, "breakdown")["model"]) == {"metaselector"}
        assert set(table(run, "stability")["fitted_on"]) == {"train+valid"}
        whole[whole["model"].isin(["lr", "fm"])].to_parquet(path)
        written = analyse(run, Silent())
        assert table(run, "breakdown").empty
        assert "breakdown.png" not in {path.name for path in written}
    finally:
        path.write_bytes(before)


def test_a_run_of_an_earlier_version(run: Run) -> None:
    """Its checkpoints have no seconds, and it has no predictions of *valid*."""
    history = run.directory / "history.csv"
    valid = run.directory / "valid_predictions.parquet"
    before, predictions = history.read_text(), valid.read_bytes()
    try:
        pd.read_csv(history).drop(columns="seconds").to_csv(history, index=False)
        notes = Notes()
        analyse(run, notes)
        (text,) = notes.texts
        assert text.startswith("history.csv has no seconds per epoch")
        assert table(run, "cost").empty
        valid.unlink()
        with pytest.raises(DataError, match=r"valid_predictions.parquet: file not found; run"):
            analyse(run, Silent())
    finally:
        history.write_text(before)
        valid.write_bytes(predictions)


def test_one_base_model(make: Make) -> None:
    run = make("lr")
    names = {path.name for path in analyse(run, Silent()) if path.suffix == ".png"}
    assert "entropy.png" not in names
    assert "stability.png" not in names
    assert {"confusion.png", "breakdown.png", "inner_steps.png"} <= names
    assert table(run, "stability")["kept"].tolist() == [1, 1]


def test_a_rule_that_learns_no_rates_and_takes_no_steps(make: Make) -> None:
    none = ("adapt.rule=maml", "adapt.steps=0", "adapt.residuals.enabled=false")
    run = make("lr", "fm", settings=none)
    analyse(run, Silent())
    assert table(run, "steps")["steps"].tolist() == [0, 0]
    assert set(table(run, "rates")["model"]) == set(PAPER)
    no_rates = pd.read_csv(run.directory / "rates.csv").iloc[:0]
    no_rates.to_csv(run.directory / "rates.csv", index=False)
    analyse(run, Silent())
    assert table(run, "rates").empty

"""Evaluation of a tiny world."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from metaselector.common.errors import ConfigError, UserError
from metaselector.common.progress import Bars, Silent
from metaselector.config import load_config
from metaselector.evaluate.bounds import BOUNDS
from metaselector.evaluate.combiners import COMBINERS, OPTIONAL
from metaselector.evaluate.predictions import load_predictions
from metaselector.inference.explanation import explain_user
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import evaluate, own_metrics
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.reproduce import evaluate_and_report
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from tests.runs.notes import Notes


def trained(folder: Path, raw: Path, *overrides: str) -> Run:
    quick = (
        "meta_train.epochs=1",
        "selector.epochs=1",
        "paper.epochs=1",
        "adapt.support_size=5",
        "evaluate.resamples=2",
        "threads=1",
        *overrides,
    )
    short = {"pretrain": {"epochs": 1}}
    config = load_config(overrides=quick, changes={"base_models": {"lr": short, "fm": short}})
    run = Run(folder / "run", config)
    prepare_run(run, raw, folder)
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    return run


@pytest.fixture(scope="module")
def raw(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def run(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("evaluate"), raw)


def models(run: Run, table: str = "results") -> list[str]:
    return list(dict.fromkeys(pd.read_csv(run.directory / f"{table}.csv")["model"]))


def test_every_combiner_has_its_row_in_the_order_of_the_table(run: Run) -> None:
    for library in OPTIONAL.values():
        pytest.importorskip(library)
    notes = Notes()
    evaluate(run, notes)
    assert not notes.texts
    assert [model for model in models(run) if model in COMBINERS] == list(COMBINERS)
    assert COMBINERS.keys() <= set(models(run, "differences"))
    assert models(run)[-3:] == ["oracle-user", *BOUNDS]
    predictions = load_predictions(run.directory / "predictions.parquet")
    assert not set(BOUNDS) & {*predictions["model"], *models(run, "differences")}


def test_a_metric_with_the_name_of_another_column(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("def mrr(y, p, users):\n    return 0.5\n")
    config = load_config(overrides=[f"evaluate.metrics=[{path}:mrr]"])
    with pytest.raises(ConfigError, match=r"already has a column 'mrr'; rename .*own.py:mrr"):
        own_metrics(config)


def test_a_missing_library_leaves_its_row_out_and_says_how_to_get_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    notes = Notes()
    evaluate(run, notes)
    assert {text.partition(" is left out")[0] for text in notes.texts} == OPTIONAL.keys()
    assert all("pip install 'lightgbm>=4'" in text for text in notes.texts)
    expected = [model for model in COMBINERS if model not in OPTIONAL]
    assert [model for model in models(run) if model in COMBINERS] == expected


def test_notes_are_printed_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Bars().note("look here")
    assert capsys.readouterr() == ("", "look here\n")


def test_some_users_are_measured_and_the_table_says_so(raw: Path, tmp_path: Path) -> None:
    run = trained(tmp_path, raw, "evaluate.max_users=9")
    evaluate_and_report(run, Silent())
    results = pd.read_csv(run.directory / "results.csv")
    assert set(results["n_users"]) == {9}
    users = [
        set(load_predictions(run.directory / f"{name}predictions.parquet")["user"])
        for name in ("", "valid_")
    ]
    assert users[0] == users[1]
    assert len(users[0]) == 9
    text = (run.directory / "summary.md").read_text(encoding="utf-8")
    assert "Of valid, and of test, at most 9 users, drawn at random (evaluate.max_users).\n" in text
    there = run.dataset.user_names
    other = next(name for name in there if name not in users[0])
    with pytest.raises(UserError, match=r"no rows in the test, or was not drawn \(evaluate\.max"):
        explain_user(run, other)

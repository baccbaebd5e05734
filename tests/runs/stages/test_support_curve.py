"""The support curve of a tiny run: it agrees with the results table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.evaluate.combiners import COMBINERS, OPTIONAL
from metaselector.evaluate.support_curve import COLUMNS, MODELS
from metaselector.meta.adapted import AdaptedModel, WindowPredictions
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import evaluate, help_evaluate
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.support_curve import not_adapted
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

SETTINGS = """
seeds: [0, 1]
threads: 1
base_models: {lr: {pretrain: {epochs: 1}}, fm: {pretrain: {epochs: 1}}}
cold: {support_sizes: [2, 4]}
adapt: {support_size: 4}
meta_train: {epochs: 1}
evaluate: {resamples: 20}
"""
SIMPLE = {name: make for name, make in COMBINERS.items() if name not in OPTIONAL}
Calls = list[tuple[int, int]]


def scores(folder: Path) -> dict[str, Any]:
    """Two base models that are files of scores, so that no base model can adapt."""
    found = {}
    for seed, name in enumerate(("theirs", "others")):
        drawn = np.random.default_rng(seed).random(1200)  # rows of the world
        table = pd.DataFrame({"row": np.arange(len(drawn)), "score": drawn})
        table.to_csv(folder / f"{name}.csv", index=False)
        found[name] = {"scores": {"file": str(folder / f"{name}.csv")}}
    return found


@pytest.fixture(scope="module", params=["warm", "cold", "scores only"])
def run(
    request: pytest.FixtureRequest,
    write_world: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    folder = tmp_path_factory.mktemp(f"curve-{request.param}")
    settings = yaml.safe_load(SETTINGS)
    if request.param == "scores only":
        settings["base_models"] = scores(folder)
    else:
        settings["protocol"] = request.param
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    config = load_config(folder / "config.yaml")
    run = Run(folder / "run", config)
    prepare_run(run, write_world(folder / "raw"), folder)
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", lambda: SIMPLE)
        evaluate(run, Silent())
    return run


@pytest.fixture(scope="module")
def curve(run: Run) -> pd.DataFrame:
    return pd.read_csv(run.directory / "support_curve.csv")


def test_every_seed_and_model_at_every_number_of_rows(curve: pd.DataFrame) -> None:
    assert tuple(curve.columns) == COLUMNS
    assert curve.value_counts(["seed", "model", "n"]).eq(1).all()
    assert set(curve["seed"]) == {0, 1}
    assert set(curve["model"]) == set(MODELS)
    assert sorted(curve["n"].unique()) == [0, 1, 2, 3, 4]
    assert len(curve) == 2 * len(MODELS) * 5


def test_numbers_of_the_settings_have_the_metrics_of_the_results(
    run: Run, curve: pd.DataFrame
) -> None:
    for split in run.protocol.evaluation_splits:
        results = pd.read_csv(run.directory / split.folder / "results.csv")
        mine = curve[(curve["n"] == split.test.support.shape[1]) & (curve["model"] != MODELS[0])]
        both = mine.merge(results, on=["seed", "model"], suffixes=("", "_of_results"))
        assert len(both) == len(mine) == 2 * 3
        for metric, tolerance in (("auc", 0), ("gauc", 1e-12), ("logloss", 1e-6)):  # float32 loss
            theirs = both[f"{metric}_of_results"].tolist()
            assert both[metric].tolist() == pytest.approx(theirs, abs=tolerance), metric


def test_without_rows_nothing_adapts(run: Run) -> None:
    for seed in run.config.seeds:
        model = run.checkpoints.load_adapted("metaselector", seed)
        none, all_rows = run.protocol.test_episodes(0), run.protocol.test_episodes(4)
        assert none.support.max() < 0
        unadapted = not_adapted(model).predict(run.dataset, none)
        adapted = model.predict(run.dataset, none)
        assert adapted.probabilities == pytest.approx(unadapted.probabilities, abs=1e-6)
        moved = model.predict(run.dataset, all_rows).probabilities
        still = not_adapted(model).predict(run.dataset, all_rows).probabilities
        assert np.abs(moved - still).max() > 1e-4


def test_rows_to_predict_depend_on_the_number_for_new_users_only(
    run: Run, curve: pd.DataFrame
) -> None:
    for _, lines in curve[curve["model"] == MODELS[0]].groupby("seed"):
        different = 1 if run.config.protocol == "warm" else 5
        assert lines["logloss"].nunique() == different
        assert lines["gauc"].nunique() == different


def test_differences_are_those_of_the_curve(run: Run, curve: pd.DataFrame) -> None:
    found = pd.read_csv(run.directory / "support_curve_differences.csv")
    means = curve.groupby(["n", "model"])[["logloss", "gauc"]].mean()
    assert len(found) == 5 * 2 * 5
    for line in found.itertuples():
        change = means.loc[(line.n, line.model), line.metric]
        change -= means.loc[(line.n, line.baseline), line.metric]
        assert line.difference == pytest.approx(change, abs=1e-12)
        assert line.low <= line.high


def test_a_helping_worker_predicts_what_the_main_one_does(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise they would wait for each other."""
    calls: Calls = []
    predict = AdaptedModel.predict

    def spy(model: AdaptedModel, dataset: Any, episodes: Any) -> WindowPredictions:
        calls.append((model.adaptation.steps, episodes.support.shape[1]))
        return predict(model, dataset, episodes)

    monkeypatch.setattr(AdaptedModel, "predict", spy)
    monkeypatch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", lambda: SIMPLE)
    evaluate(run, Silent())
    of_main = calls.copy()
    calls.clear()
    help_evaluate(run)
    assert calls == of_main

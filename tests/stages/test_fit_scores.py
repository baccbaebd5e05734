"""Classifiers of scikit-learn as base models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier

from metaselector.config import BaseModelConfig, ScoresConfig, load_config
from metaselector.data.protocol import WINDOWS
from metaselector.errors import ConfigError
from metaselector.run_directory import Run
from metaselector.stages.fit_scores import fit_scores
from metaselector.stages.prepare import prepare_run


@pytest.fixture(scope="module")
def run(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("scores")
    made = Run(folder / "run", load_config())
    prepare_run(made, write_world(folder / "raw"), folder / "data")
    return made


def test_each_window_is_fitted_on_its_own_rows(run: Run, tmp_path: Path) -> None:
    """A classifier that says the mean of the labels it has seen."""
    files = fit_scores(run, DummyClassifier(), str(tmp_path / "mean-{window}.parquet"))
    means = []
    for window, path in zip(WINDOWS, files, strict=True):
        assert path.name == f"mean-{window}.parquet"
        rows = run.protocol.fitting_rows(window)
        (mean,) = pd.read_parquet(path)["score"].unique()
        assert mean == pytest.approx(run.dataset.labels[rows].mean(), abs=1e-6)
        means.append(mean)
    assert len(set(means)) == 3


def test_the_files_stand_in_place_of_a_base_model(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "trees-{window}.parquet")
    fit_scores(run, HistGradientBoostingClassifier(max_iter=5, random_state=0), path)
    models = {"trees": BaseModelConfig(scores=ScoresConfig(file=path))}
    own = Run(run.directory, run.config.model_copy(update={"base_models": models}))
    mixture = own.load_mixture("train", 0)
    rows = np.arange(12)
    output = mixture(own.dataset.scored_batch(rows))
    table = pd.read_parquet(path.replace("{window}", "train")).set_index("row")["score"]
    expected = table.loc[own.dataset.source_rows[rows]].to_numpy()
    np.testing.assert_allclose(output.base_probabilities[:, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "path", "problem"),
    [
        ({}, "scores.parquet", "must have {window} in its name"),
        ({}, "scores-{window}.csv", "end in .parquet"),
        ({"protocol": "cold"}, "scores-{window}.parquet", "for warm runs of one task only"),
    ],
)
def test_what_cannot_be_fitted(run: Run, settings: Any, path: str, problem: str) -> None:
    wrong = Run(run.directory, run.config.model_copy(update=settings))
    with pytest.raises(ConfigError, match=problem):
        fit_scores(wrong, DummyClassifier(), path)

"""Histories of any length, and saved models: the same numbers as in evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import Tensor

from metaselector import MetaSelector
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.splitting.episodes import window_episodes
from metaselector.inference.trained import TrainedModel

from .conftest import windows


@pytest.mark.parametrize("user", ["u1", "u4", "u7"])
def test_without_history_nothing_is_adapted_or_corrected(
    fitted: MetaSelector, raw: pd.DataFrame, user: str
) -> None:
    _, candidates, _ = windows(fitted, raw, user)
    trained = fitted.trained
    assert trained.adaptation.residuals is not None
    given = (RawRows.of_frame(trained.encoder, f, Path("it")) for f in (raw[:0], candidates))
    rows = trained.encode(*given)
    plain = replace(trained.adapted, adaptation=replace(trained.adaptation, residuals=None))
    unadapted = plain.with_steps(0).predict(rows.dataset, rows.episodes(0))
    found = fitted.adapt(raw[:0]).predict(candidates)
    assert np.array_equal(found, unadapted.probabilities)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows_are_adapted_on_and_corrected_by_as_in_evaluation(
    fitted: MetaSelector, raw: pd.DataFrame, rows: int
) -> None:
    """Their own last rows are all that the model is told of the user."""
    history, candidates, place = windows(fitted, raw, "u6")
    run, trained = fitted._fitted_run(), fitted.trained
    table = trained.adapted.predict(run.dataset, window_episodes(run.dataset, (90, 100), rows))
    expected = table.probabilities[np.isin(table.rows, place)]
    user = fitted.adapt(history, support_size=rows)
    found = user.predict(candidates)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    assert np.abs(found - fitted.adapt(raw[:0]).predict(candidates)).max() > 1e-4
    alone = fitted.adapt(history[-rows:]).predict(candidates)  # history features count them only
    assert ((alone > 0) & (alone < 1)).all()


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 8])
def test_saved_models_and_runs_predict_the_same_bit_for_bit(
    fitted: MetaSelector, raw: pd.DataFrame, tmp_path: Path, rows: int
) -> None:
    """All users at once, whose rows come in any order."""
    run = fitted._fitted_run()
    fitted.save(tmp_path / "model")
    models = [TrainedModel.of_run(run), TrainedModel.load(tmp_path / "model")]
    parts = [windows(fitted, raw, user) for user in ("u3", "u0", "u17", "u39")]
    history, candidates = (pd.concat([part[i] for part in parts]) for i in range(2))
    found = []
    for model in models:
        given = (RawRows.of_frame(model.encoder, f, Path("it")) for f in (history, candidates))
        found.append(replace(model, most_support=rows).predict(*given))
    assert np.array_equal(found[0].probabilities, found[1].probabilities)
    assert np.array_equal(found[0].weights, found[1].weights)


def test_similarity_moves_what_is_predicted(
    fitted: MetaSelector, raw: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a comparison of saved model and evaluation would miss none of its measures."""
    run = fitted._fitted_run()
    fitted.save(tmp_path / "model")
    loaded, table = (
        MetaSelector.load(tmp_path / "model"),
        run.checkpoints.load_adapted("metaselector", 0),
    )
    episodes = window_episodes(run.dataset, (90, 100), run.config.adapt.support_size)
    expected = table.predict(run.dataset, episodes)
    assert loaded.trained.mixture.similarity.names == ("features", "embeddings", "co-residuals")
    for user in ("u2", "u11"):
        history, candidates, rows = windows(fitted, raw, user)
        found = loaded.adapt(history).predict(candidates)
        at = np.isin(expected.rows, rows)
        np.testing.assert_allclose(found, expected.probabilities[at], atol=1e-6, rtol=0)
    similarity = loaded.trained.mixture.similarity
    for measure in range(3):

        def without(*given: Any, measure: int = measure) -> Tensor:
            numbers = similarity(*given).clone()
            numbers[..., measure] = 0
            return numbers

        blind = type("Blind", (), {"names": similarity.names, "__call__": staticmethod(without)})()
        monkeypatch.setattr(loaded.trained.mixture, "similarity", blind)
        assert np.abs(loaded.adapt(history).predict(candidates) - found).max() > 1e-5

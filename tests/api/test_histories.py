"""Histories of any length: no rows change nothing, a few are adapted on as in evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector import MetaSelector
from metaselector.data.preparation.given_rows import RawRows
from metaselector.data.splitting.episodes import window_episodes

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

"""The Python API on multi-task data and in the cold protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector import MetaSelector
from metaselector.config import Config
from metaselector.data.public.atomic import read_atomic

QUICK = {
    "selector": {"hidden_size": 4},
    "adapt": {"support_size": 6},
    "meta_train": {"epochs": 1},
    "threads": 1,
}
SMALL = {"pretrain": {"epochs": 1}}


@pytest.fixture(scope="module")
def raw(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def of_user(model: MetaSelector, rows: pd.DataFrame, position: int) -> tuple[pd.DataFrame, ...]:
    """Support and query of one test episode as raw rows, and what the models predict there."""
    run = model._fitted_run()
    evaluation_split = run.protocol.evaluation_splits[-1].test
    one = evaluation_split.some(np.array([position]))
    table = run.checkpoints.load_adapted("metaselector", 0).predict(run.dataset, one)
    places = run.dataset.source_rows
    support = one.support[one.support >= 0]
    first = run.dataset.user_offsets[one.users[0]]
    history = rows.iloc[places[first : support[-1] + 1]]
    return history, rows.iloc[places[one.query[0]]], table.probabilities


def test_new_users_are_predicted_as_in_the_last_table(raw: Path) -> None:
    cold = {"support_sizes": [3, 6], "early": 40, "train": 60, "valid": 80}
    model = MetaSelector({"fm": SMALL, "lr": SMALL}, protocol="cold", cold=cold, **QUICK)
    model.fit("movielens-100k", data=raw)
    rows = read_atomic(raw, "ml-100k").interactions.drop(columns="line")
    for position in (0, 3):
        history, query, expected = of_user(model, rows, position)
        assert len(history) == 6
        found = model.adapt(history).predict(query)
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


def test_every_task_has_a_probability(raw: Path, tmp_path: Path) -> None:
    rows = read_atomic(raw, "ml-100k").interactions.drop(columns="line")
    rows = rows.assign(good=rows["rating"] >= 3, great=(rows["rating"] >= 5).astype(float))
    rows.loc[~rows["good"], "great"] = np.nan
    columns = {
        "user": "user", "item": "item", "time": {"column": "timestamp", "unit": "seconds"},
        "labels": {"good": {"column": "good"}, "great": {"column": "great", "after": "good"}},
    }  # fmt: skip
    model = MetaSelector({"shared-bottom": SMALL, "fm": SMALL}, config=Config(), **QUICK)
    model.fit(rows.drop(columns="rating"), columns)
    history, query, expected = of_user(model, rows, 5)
    user = model.adapt(history)
    found = user.predict(query.drop(columns=["good", "great"]))
    assert found.shape == (len(query), 2)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    assert list(user.weights.columns[:2]) == [("shared-bottom", "good"), ("shared-bottom", "great")]
    assert user.trace["support_loss"].notna().all()
    model.save(tmp_path / "saved")
    again = MetaSelector.load(tmp_path / "saved").adapt(history)
    assert np.array_equal(again.predict(query), found)

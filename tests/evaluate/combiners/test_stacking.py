"""Stacking on many rows: fitted on some of them, predicted a piece at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metaselector.evaluate.combiners import Predictions
from metaselector.evaluate.combiners import stacking as module
from metaselector.evaluate.combiners.stacking import (
    StackingLightGBM,
    StackingLogistic,
    some_rows,
)


@pytest.fixture
def rows() -> Predictions:
    rng = np.random.default_rng(0)
    n = 400
    base = rng.random((n, 2))
    users = np.array([f"user {k}" for k in rng.integers(40, size=n)], dtype=object)
    features = np.column_stack([rng.integers(5, size=n), rng.normal(size=n)]).astype(np.float32)
    y = (rng.random(n) < 0.3 * base[:, 0] + 0.1 * features[:, 0]).astype(np.float64)
    return Predictions(base, users, np.arange(n), y, features, (0,))


def test_few_rows_are_all_used(rows: Predictions) -> None:
    assert some_rows(rows) is rows


def test_of_many_rows_those_of_whole_users_are_used(
    rows: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 100)
    found = some_rows(rows)
    assert 80 < len(found.users) <= 100
    for user in np.unique(found.users):
        assert (found.users == user).sum() == (rows.users == user).sum()
    np.testing.assert_array_equal(found.order, some_rows(rows).order)
    np.testing.assert_array_equal(found.labels(), rows.labels()[found.order])
    monkeypatch.setattr(module, "MOST_ROWS", 1)
    assert len(np.unique(some_rows(rows).users)) == 1


@pytest.mark.parametrize("make", [StackingLogistic, lambda: StackingLightGBM(features=True)])
def test_fitting_sees_only_these_rows(
    rows: Predictions, monkeypatch: pytest.MonkeyPatch, make: type[StackingLogistic]
) -> None:
    pytest.importorskip("lightgbm")
    monkeypatch.setattr(module, "MOST_ROWS", 200)
    alone = make().fit(some_rows(rows)).predict(rows.unlabelled())
    np.testing.assert_array_equal(make().fit(rows).predict(rows.unlabelled()), alone)


def test_pieces_and_half_the_memory_give_the_same_predictions(
    rows: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lightgbm")
    assert rows.features is not None
    assert rows.features.dtype == np.float32
    expected = StackingLightGBM(features=True).fit(rows).predict(rows.unlabelled())
    wide = replace(rows, features=rows.features.astype(np.float64))
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    found = StackingLightGBM(features=True).fit(wide).predict(wide.unlabelled())
    np.testing.assert_array_equal(found, expected)

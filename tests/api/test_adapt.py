"""Adapt to a user, and predict candidates that come later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from metaselector import MetaSelector
from metaselector.common.errors import (
    CandidateWarning,
    DataError,
    UnknownWarning,
)
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.splitting.episodes import window_episodes
from metaselector.inference.adapted_user import AdaptedUser
from metaselector.meta.adapt.adaptation import HALF_LIFE, PRIOR_ROWS, TIME_DECAY

from .conftest import windows


def test_a_known_user_is_predicted_as_in_the_table(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    run = fitted._fitted_run()
    episodes = window_episodes(run.dataset, (90, 100), run.config.adapt.support_size)
    table = run.checkpoints.load_adapted("metaselector", 0).predict(run.dataset, episodes)
    moved = 0.0
    for user in ("u0", "u7", "u39"):
        history, candidates, rows = windows(fitted, raw, user)
        there = np.isin(table.rows, rows)
        adapted = fitted.adapt(history)
        shuffled = candidates.iloc[::-1]
        found = adapted.predict(shuffled.drop(columns=["user", "rating"]))
        np.testing.assert_allclose(found[::-1], table.probabilities[there], atol=1e-6, rtol=0)
        weights = adapted.weights
        assert list(weights.columns) == ["lr", "fm"]
        np.testing.assert_allclose(weights[::-1], table.weights[there], atol=1e-6, rtol=0)
        alone = fitted.adapt(history.iloc[:0]).predict(candidates)
        moved = max(moved, np.abs(alone - table.probabilities[there]).max())
    assert moved > 1e-3  # adapting does something that the comparison could miss


def test_the_trace_tells_each_step(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    history, _, rows = windows(fitted, raw, "u3")
    trace = fitted.adapt(history).trace
    assert list(trace["step"]) == [0, 1, 2]
    moved = trace[["moved_selector", "moved_lr", "moved_fm"]]
    assert (moved.iloc[0] == 0).all()
    assert (moved.iloc[1:] > 0).all(axis=None)
    np.testing.assert_allclose(trace[["weight_lr", "weight_fm"]].sum(axis=1), 1, rtol=1e-6)
    # Step 0 is the unadapted mixture on the support, row by row.
    trained = fitted.trained
    support = trained.mixture(fitted._fitted_run().dataset.batch(rows[0] - 8 + np.arange(8)))
    labels = torch.from_numpy((history["rating"].to_numpy()[-8:] >= 4).astype(np.float32))
    losses = -(labels * support.log_positive + (1 - labels) * support.log_negative)
    assert trace["support_loss"][0] == pytest.approx(losses.mean().item(), rel=1e-5)
    weights = support.weights.mean(0).tolist()
    assert trace.loc[0, ["weight_lr", "weight_fm"]].tolist() == pytest.approx(weights, rel=1e-5)


def test_movement_is_that_of_the_inner_steps_by_hand(
    fitted: MetaSelector, raw: pd.DataFrame
) -> None:
    """One step of gradient descent on the whole tables, by autograd, without decay by time."""
    history, _, rows = windows(fitted, raw, "u5")
    trained, dataset = fitted.trained, fitted._fitted_run().dataset
    timeless = {TIME_DECAY: torch.zeros_like(trained.alpha[TIME_DECAY])}
    trained = replace(trained, alpha=trained.alpha | timeless)
    half_life, prior_rows = (trained.alpha[name][0] for name in (HALF_LIFE, PRIOR_ROWS))
    params = dict(trained.mixture.named_parameters())
    support = rows[0] - 8 + np.arange(8)
    with torch.enable_grad():
        for parameter in params.values():
            parameter.requires_grad_()
        out = trained.mixture(dataset.batch(support))
        labels = dataset.label(support)
        losses = -(labels * out.log_positive + (1 - labels) * out.log_negative)
        kept = 0.5 ** (torch.arange(7, -1, -1) / half_life)
        loss = (kept * losses).sum() / (kept.sum() + prior_rows)
        grads = torch.autograd.grad(loss, list(params.values()), materialize_grads=True)
    squares = {"selector": 0.0, "lr": 0.0, "fm": 0.0}
    for (name, _), grad in zip(params.items(), grads, strict=True):
        group = "selector" if name.startswith("selector.") else name.split(".")[1]
        squares[group] += (trained.alpha[name][0] * grad).double().square().sum().item()
    found = AdaptedUser(trained, history).trace.loc[1]
    for group, square in squares.items():
        assert found[f"moved_{group}"] == pytest.approx(square**0.5, rel=1e-4)


def test_a_new_user_changes_with_their_history(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    asked = pd.DataFrame({"user": "new", "item": ["i1", "unheard"], "timestamp": 890_000_000})
    history = raw[raw["user"] == "u1"].assign(user="new")
    who, what = r"1 of 1 users \('new'\)", r"1 of 2 items \('unheard'\)"
    with pytest.warns(UnknownWarning, match=f"candidates: unknown to the model: {who}; {what}"):
        before = fitted.adapt(history.iloc[:0]).predict(asked)
    with pytest.warns(UnknownWarning, match=f"history: unknown to the model: {who}$"):
        user = fitted.adapt(history)
    with pytest.warns(UnknownWarning, match=f"candidates: unknown to the model: {what}$"):
        after = user.predict(asked)
    assert ((before > 0) & (before < 1) & (after > 0) & (after < 1)).all()
    assert (before != after).all()
    assert fitted.adapt(history.iloc[:0]).trace.empty


def test_many_candidates_are_predicted_as_few(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    """Those of a user share episodes in whatever way."""
    history, candidates, _ = windows(fitted, raw, "u4")
    trained, encoder = fitted.trained, fitted.trained.encoder
    given = [RawRows.of_frame(encoder, frame, Path("it")) for frame in (history, candidates)]
    rows = trained.encode(*given)
    whole, parts = (
        trained.adapted.predict(rows.dataset, rows.episodes(trained.support_size, most))
        for most in (100, 1)
    )
    assert np.array_equal(whole.rows, parts.rows)
    np.testing.assert_allclose(whole.probabilities, parts.probabilities, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [0, 3, 20])
def test_the_support_may_be_of_another_size_than_in_training(
    fitted: MetaSelector, raw: pd.DataFrame, size: int
) -> None:
    history, candidates, rows = windows(fitted, raw, "u6")
    user, trained = fitted.adapt(history, support_size=size), fitted.trained
    found = user.predict(candidates)
    run, mixture = fitted._fitted_run(), trained.mixture
    if size:
        episodes = window_episodes(run.dataset, (90, 100), size)
        table = trained.adapted.predict(run.dataset, episodes)
        expected = table.probabilities[np.isin(table.rows, rows)]
    else:
        with torch.no_grad():
            expected = mixture(run.dataset.batch(rows)).log_positive.exp().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    assert len(user.trace) == (3 if size else 0)
    assert np.abs(found - fitted.adapt(history).predict(candidates)).max() > 1e-4


def test_doubtful_candidates_are_warned_of(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    history, later, _ = windows(fitted, raw, "u3")
    user = fitted.adapt(history)
    expected = user.predict(later)
    with pytest.warns(CandidateWarning, match=r"^candidates: 1 of \d+ candidates are older than"):
        found = user.predict(pd.concat([later, later[:1].assign(timestamp=1.5)]))
    np.testing.assert_allclose(found[:-1], expected, atol=1e-6)
    with pytest.warns(CandidateWarning, match=r"candidates: 1 of \d+ candidates have the item"):
        user.predict(pd.concat([later, history[-1:]]))


@pytest.mark.parametrize("rows", [0, 5])
def test_no_candidates_are_no_predictions(
    fitted: MetaSelector, raw: pd.DataFrame, rows: int
) -> None:
    user = fitted.adapt(raw[raw["user"] == "u1"].iloc[:rows])
    assert user.predict(raw.iloc[:0]).shape == (0,)
    assert user.weights.shape == (0, 2)


def test_unknown_items_stop_unless_allowed(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    """A data frame with a missing id makes numbers floating-point, and text of them `1.0`."""
    history = raw[raw["user"] == "u1"]
    other = history.assign(item=history["item"] + ".0")
    message = r"\(column item\): the model knows none of the items \('i\d+\.0', .*allow_unknown"
    with pytest.raises(DataError, match="history " + message):
        fitted.adapt(other)
    with pytest.raises(DataError, match="candidates " + message):
        fitted.adapt(history).predict(other)
    with pytest.warns(UnknownWarning, match="history: .*items"):
        user = fitted.adapt(other, allow_unknown=True)
    with pytest.warns(UnknownWarning, match="candidates: .*items"):
        assert user.predict(other.assign(timestamp=890_000_000)).shape == (30,)


def test_frames_may_be_odd(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    """Unused columns hold anything; an index repeats; types are what pandas made of a file."""
    history, later = raw[raw["user"] == "u1"].iloc[:20], raw[raw["user"] == "u1"].iloc[20:]
    expected = fitted.adapt(history).predict(later)
    odd = history.set_axis([0] * len(history)).astype(
        {"item": "category", "timestamp": "Int64", "rating": "float32"}
    )
    odd = odd.assign(bag=[{1}, object()] * 10, both=["a", 2] * 10)
    odd = pd.concat([odd, odd["bag"]], axis=1)
    found = fitted.adapt(odd).predict(later.astype({"item": "string[pyarrow]"}))
    assert np.array_equal(found, expected)
    twice = pd.concat([history, history["item"]], axis=1)
    message = r"\(column item\): 2 columns have this name"
    with pytest.raises(DataError, match="history " + message):
        fitted.adapt(twice)
    with pytest.raises(DataError, match="candidates " + message):
        fitted.adapt(history).predict(twice)

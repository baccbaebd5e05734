"""Predict any number of users at once, exactly as one after another."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metaselector import MetaSelector
from metaselector.common.errors import DataError, UnknownWarning, UserError
from metaselector.inference.adapted_user import AdaptedUser
from metaselector.inference.adapted_users import AdaptedUsers
from metaselector.inference.prediction_files import predicted_table
from metaselector.inference.trained import TrainedModel
from metaselector.meta.adapt.rules import MetaSGD

from .conftest import windows

LATER = 2_000_000_000


@pytest.fixture(scope="module")
def frames(fitted: MetaSelector, raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Histories of different lengths, and more or fewer candidates, of many users, mixed."""
    parts = [windows(fitted, raw, f"u{number}") for number in range(20)]
    histories = pd.concat(
        [history.iloc[number % 7 :] for number, (history, _, _) in enumerate(parts)]
    )
    candidates = pd.concat([asked.iloc[: 1 + n % 3] for n, (_, asked, _) in enumerate(parts)])
    shuffled = candidates.sample(frac=1, random_state=0).drop(columns="rating")
    return histories.sample(frac=1, random_state=1), shuffled


def alone(model: TrainedModel, histories: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
    """The slow twin: one user after another."""
    parts = []
    for user, asked in candidates.groupby("user"):
        adapted = AdaptedUser(model, histories[histories["user"] == user])
        asked = asked.assign(probability=adapted.predict(asked))
        weights = adapted.weights.set_axis(asked.index).add_prefix("weight_")
        parts.append(pd.concat([asked, weights], axis=1))
    return pd.concat(parts).loc[candidates.index]


def test_all_users_are_predicted_as_each_alone(
    fitted: MetaSelector, frames: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    found = fitted.predict(*frames)
    expected = alone(fitted.trained, *frames)
    assert list(found) == ["user", "item", "timestamp", "probability", "weight_lr", "weight_fm"]
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=0, atol=1e-6)
    assert found["probability"].nunique() > 20


def test_in_float64_they_agree_exactly(
    fitted: MetaSelector, frames: tuple[pd.DataFrame, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = fitted.trained
    alpha = {name: rate.double() for name, rate in trained.alpha.items()}
    trained = replace(trained, mixture=copy.deepcopy(trained.mixture).double(), alpha=alpha)
    load = "metaselector.meta.adapted.load_episodes"
    from metaselector.meta.adapted import load_episodes

    def in_float64(*arguments: Any) -> Any:
        return load_episodes(*arguments).to("cpu", trained.alpha["selector.output.bias"].dtype)

    monkeypatch.setattr(load, in_float64)
    found = AdaptedUsers(trained, frames[0]).predict(frames[1])
    expected = alone(trained, *frames)
    np.testing.assert_allclose(found["probability"], expected["probability"], rtol=0, atol=1e-13)


def test_the_command_line_predicts_the_same(
    fitted: MetaSelector, frames: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    paths = tmp_path / "histories.csv", tmp_path / "candidates.csv"
    for frame, path in zip(frames, paths, strict=True):
        frame.to_csv(path, index=False)
    table = predicted_table(fitted.trained, *paths).to_pandas()
    found = fitted.predict(*frames)
    assert list(table) == list(found)
    assert np.array_equal(table["probability"], found["probability"])


def test_a_mapping_of_adapted_users(
    fitted: MetaSelector, frames: tuple[pd.DataFrame, pd.DataFrame], raw: pd.DataFrame
) -> None:
    histories, candidates = frames
    users = fitted.adapt_many(histories)
    assert list(users) == list(dict.fromkeys(histories["user"]))
    assert len(users) == 20
    assert "u3" in users
    assert "u39" not in users
    asked = candidates[candidates["user"] == "u3"].drop(columns="user")
    found = users["u3"].predict(asked)
    expected = fitted.adapt(histories[histories["user"] == "u3"]).predict(asked)
    assert np.array_equal(found, expected)
    assert users["u3"] is users["u3"]
    pd.testing.assert_frame_equal(
        users["u3"].trace, fitted.adapt(histories[histories["user"] == "u3"]).trace
    )
    with pytest.raises(KeyError, match="nobody"):
        users["nobody"]
    with pytest.raises(DataError, match="belongs to user 'u4', but the history to 'u3'"):
        users["u3"].predict(candidates[candidates["user"] == "u4"])


def test_names_may_be_numbers(raw: pd.DataFrame, fitted: MetaSelector) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownWarning)
        users = fitted.adapt_many(raw[raw["user"] == "u1"].assign(user=7))
    assert 7 in users
    assert users[7] is users["7"]


def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of users whenever users take an inner step."""
    taken: list[int] = []
    update = MetaSGD.update

    def spy(rule: MetaSGD, params: Any, grads: Any, rates: Any) -> Any:
        taken.append(max((len(p) for p in params.values()), default=0))
        return update(rule, params, grads, rates)

    monkeypatch.setattr(MetaSGD, "update", spy)
    return taken


def test_a_user_adapts_once_and_predicts_many_times(
    fitted: MetaSelector, raw: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, _, _ = windows(fitted, raw, "u5")
    asked = [
        pd.DataFrame({"item": [f"i{k}", f"i{k + 1}"], "timestamp": LATER}) for k in range(0, 20, 4)
    ]
    expected = [fitted.adapt(history).predict(one) for one in asked]
    taken = steps_taken(monkeypatch)
    user = fitted.adapt(history)
    found = [user.predict(one) for one in asked]
    assert len(taken) == fitted.config.adapt.steps
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.ptp(found) > 1e-3
    # Rows of the history are older at another time, and count less.
    later = asked[0].assign(timestamp=2 * LATER)
    moved = user.predict(later)
    assert len(taken) == 2 * fitted.config.adapt.steps
    monkeypatch.undo()
    assert np.array_equal(moved, fitted.adapt(history).predict(later))


def test_without_decay_by_time_no_time_repeats_the_loop(
    fitted: MetaSelector, raw: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, _, _ = windows(fitted, raw, "u5")
    alpha = dict(fitted.trained.alpha)
    alpha["support/time_decay"] = alpha["support/time_decay"] * 0
    user = AdaptedUser(replace(fitted.trained, alpha=alpha), history)
    taken = steps_taken(monkeypatch)
    for time in (LATER, 2 * LATER):
        user.predict(pd.DataFrame({"item": ["i1"], "timestamp": [time]}))
    assert len(taken) == fitted.config.adapt.steps


def test_many_users_adapt_once(
    fitted: MetaSelector, frames: tuple[pd.DataFrame, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = steps_taken(monkeypatch)
    users = fitted.adapt_many(frames[0])
    first = users.predict(frames[1])
    count = len(taken)
    assert count == fitted.config.adapt.steps * -(-20 // fitted.config.adapt.max_users_per_chunk)
    pd.testing.assert_frame_equal(users.predict(frames[1]), first)
    assert len(taken) == count


def test_a_user_without_history_is_predicted_unadapted(
    fitted: MetaSelector, raw: pd.DataFrame
) -> None:
    history, asked, _ = windows(fitted, raw, "u2")
    both = pd.concat([asked.assign(user="u3"), asked])
    found = fitted.predict(history, both)["probability"].to_numpy()
    nothing = fitted.adapt(history.iloc[:0])
    np.testing.assert_allclose(
        found[: len(asked)], nothing.predict(asked.assign(user="u3")), rtol=0, atol=1e-6
    )
    with pytest.warns(UnknownWarning, match="predictions are not adapted to any user"):
        fitted.predict(history, asked.assign(user="u3"))


def test_odd_frames(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    history, asked, _ = windows(fitted, raw, "u2")
    found = fitted.predict(history, asked.drop(columns="user"))  # there is only one
    assert len(found) == len(asked)
    assert found.index.equals(asked.index)
    again = fitted.predict(history, found.assign(user="u2"))  # replaces its own columns
    assert list(again).count("probability") == 1
    assert fitted.predict(history, asked.iloc[:0]).shape == (0, 7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownWarning)
        assert len(fitted.predict(history.iloc[:0], asked)) == len(asked)
    assert len(fitted.adapt_many(history.iloc[:0])) == 0
    with pytest.raises(DataError, match=r"history \(column rating\): there is no such column"):
        fitted.predict(history.drop(columns="rating"), asked)
    with pytest.raises(DataError, match=r"candidates \(column user\): there is no such column"):
        fitted.predict(raw, asked.drop(columns="user"))
    with pytest.raises(UserError, match="give 0 rows or more"):
        fitted.predict(history, asked, support_size=-1)


def test_fewer_support_rows(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    history, asked, _ = windows(fitted, raw, "u2")
    found = fitted.predict(history, asked, support_size=3)["probability"].to_numpy()
    expected = fitted.adapt(history, support_size=3).predict(asked)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.abs(found - fitted.predict(history, asked)["probability"]).max() > 1e-4

"""Exploring a user: what a change of their history, steps or support size moves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector import AdaptedUser, MetaSelector, UserError
from metaselector.data.public.atomic import read_atomic
from metaselector.inference.exploration import HELD_OUT, Exploration

LATER = 2_000_000_000


@pytest.fixture(scope="module")
def world(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def model(world: Path, tmp_path_factory: pytest.TempPathFactory) -> MetaSelector:
    models = {"lr": {"pretrain": {"epochs": 1}}, "fm": {"pretrain": {"epochs": 1}}}
    return MetaSelector(
        models,
        directory=tmp_path_factory.mktemp("fitted") / "run",
        adapt={"support_size": 8},
        selector={"epochs": 1, "hidden_size": 4},
        meta_train={"epochs": 1},
        threads=1,
    ).fit("movielens-100k", data=world)


@pytest.fixture(scope="module")
def history(world: Path) -> pd.DataFrame:
    raw = read_atomic(world, "ml-100k").interactions.drop(columns="line")
    return raw[raw["user"] == "u3"].iloc[:20].reset_index(drop=True)


@pytest.fixture
def user(model: MetaSelector, history: pd.DataFrame) -> AdaptedUser:
    return model.adapt(history)


CANDIDATES = pd.DataFrame({"item": ["i1", "i2"], "timestamp": LATER})


def test_nothing_moves_before_a_change(user: AdaptedUser) -> None:
    trace, predictions = Exploration(user, CANDIDATES).effect()
    assert predictions["now"].tolist() == predictions["before"].tolist()
    np.testing.assert_allclose(predictions["now"], user.predict(CANDIDATES), rtol=0, atol=1e-6)
    pd.testing.assert_frame_equal(trace, user.trace)
    assert list(predictions)[-2:] == ["weight_lr", "weight_fm"]
    assert "label" not in predictions
    assert (predictions["unadapted"] - predictions["now"]).abs().max() > 1e-4


def test_changes_are_those_of_another_history(
    model: MetaSelector, user: AdaptedUser, history: pd.DataFrame
) -> None:
    exploration = Exploration(user, CANDIDATES)
    exploration.kept[4] = False
    exploration.turned[[2, 18]] = True
    turned = history["rating"].where(~history.index.isin([2, 18]), 9 - history["rating"] * 2)
    for place in (2, 18):
        turned[place] = 3 if history["rating"][place] >= 4 else 4
    other = model.adapt(history.assign(rating=turned).drop(index=4))
    found = exploration.effect()
    np.testing.assert_allclose(
        found.predictions["now"], other.predict(CANDIDATES), rtol=0, atol=1e-6
    )
    assert (found.predictions["now"] - found.predictions["before"]).abs().max() > 1e-5
    exploration.kept[:], exploration.turned[:] = True, False
    assert np.array_equal(exploration.effect().predictions["now"], found.predictions["before"])


def test_steps_and_support_size(
    model: MetaSelector, user: AdaptedUser, history: pd.DataFrame
) -> None:
    exploration = Exploration(user, CANDIDATES)
    assert exploration.steps == model.config.adapt.steps
    exploration.support_size = 3
    expected = model.adapt(history, support_size=3).predict(CANDIDATES)
    np.testing.assert_allclose(exploration.effect().predictions["now"], expected, atol=1e-6)
    exploration.steps = 4
    assert exploration.effect().trace["step"].tolist() == [0, 1, 2, 3, 4]
    exploration.support_size = 0
    none = exploration.effect()
    assert none.trace.empty
    assert none.predictions["now"].tolist() == none.predictions["unadapted"].tolist()
    exploration.kept[:] = False  # nothing is left
    exploration.support_size = 3
    assert exploration.effect().trace.empty


def test_latest_rows_are_held_out_without_candidates(
    model: MetaSelector, user: AdaptedUser, history: pd.DataFrame
) -> None:
    exploration = Exploration(user)
    held = min(HELD_OUT, 5)
    latest = history.sort_values("timestamp", kind="stable").iloc[-held:]
    found = exploration.effect().predictions
    assert sorted(found["item"]) == sorted(latest["item"])
    by_item = found.set_index("item")["label"]
    assert by_item.to_dict() == dict(zip(latest["item"], latest["rating"] >= 4, strict=True))
    assert len(exploration.history) == 20 - held
    with pytest.raises(UserError, match="fewer than 4 rows"):
        Exploration(model.adapt(history.iloc[:3]))
    with pytest.raises(UserError, match="has no history"):
        Exploration(model.adapt(history.iloc[:0]))


def test_widgets_change_the_exploration(user: AdaptedUser) -> None:
    pytest.importorskip("ipywidgets")
    explorer = user.explore(CANDIDATES)
    exploration, before = explorer.exploration, explorer.output.value
    assert "Inner steps" in before
    assert "i1" in before
    place = explorer._rows[0]
    assert exploration.history["timestamp"][place] == exploration.history["timestamp"].max()
    explorer.keep[0].value = False
    assert not exploration.kept[place]
    assert exploration.kept.sum() == len(exploration.kept) - 1
    removed = explorer.output.value
    assert removed != before
    explorer.positive[1].value = not explorer.positive[1].value
    assert exploration.turned.sum() == 1
    assert explorer.output.value != removed
    explorer.steps.value = 1
    assert exploration.effect().trace["step"].tolist() == [0, 1]
    explorer.support_size.value = 2
    assert exploration.support_size == 2
    explorer.reset.click()
    assert explorer.output.value == before
    assert exploration.kept.all()
    assert not exploration.turned.any()
    assert "application/vnd.jupyter.widget-view+json" in explorer._repr_mimebundle_()


def test_markup_in_items_is_text(model: MetaSelector, user: AdaptedUser) -> None:
    pytest.importorskip("ipywidgets")
    with pytest.warns(UserWarning, match="unknown to the model"):
        explorer = user.explore(CANDIDATES.assign(item=["<script>", "i1"]))
    assert "<script>" not in explorer.output.value


def test_without_ipywidgets(user: AdaptedUser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(UserError, match="needs ipywidgets; install it with pip install"):
        user.explore(CANDIDATES)

"""The Python API does what the command line does, and predicts rows that come later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from metaselector import MetaSelector
from metaselector.common.errors import (
    CandidateWarning,
    CheckpointError,
    ConfigError,
    DataError,
    UnknownWarning,
    UserError,
)
from metaselector.common.progress import Silent
from metaselector.data.preparation.given_rows import RawRows
from metaselector.data.public.atomic import read_atomic
from metaselector.data.splitting.episodes import window_episodes
from metaselector.evaluate.combiners import usable_combiners
from metaselector.runs.adapted import load_adapted
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

SETTINGS = {
    "base_models": {
        "lr": {"pretrain": {"epochs": 1}},
        "fm": {"pretrain": {"epochs": 2}},
    },
    "selector": {"hidden_size": 4},
    "adapt": {"support_size": 8, "inner_lr_theta": 0.5},
    "meta_train": {"epochs": 1},
    "evaluate": {"resamples": 2},
    "threads": 1,
}
WriteWorld = Callable[..., Path]


@pytest.fixture(scope="module")
def world(write_world: WriteWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def raw(world: Path) -> pd.DataFrame:
    return read_atomic(world, "ml-100k").interactions.drop(columns="line")


@pytest.fixture(scope="module")
def fitted(world: Path, tmp_path_factory: pytest.TempPathFactory) -> MetaSelector:
    directory = tmp_path_factory.mktemp("fitted") / "run"
    return MetaSelector(directory=directory, **SETTINGS).fit("movielens-100k", data=world)


def windows(fitted: MetaSelector, raw: pd.DataFrame, user: str) -> tuple[pd.DataFrame, ...]:
    """Raw rows before and in the user's test window, and where the latter are in the data set."""
    dataset = fitted._fitted_run().dataset
    place = dataset.user_names.index(user)
    first, stop = dataset.user_offsets[place : place + 2]
    cut = first + (stop - first) * 90 // 100
    rows = dataset.source_rows
    return raw.iloc[rows[first:cut]], raw.iloc[rows[cut:stop]], np.arange(cut, stop)


def test_results_are_those_of_the_commands(
    fitted: MetaSelector, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {name: make for name, make in usable_combiners().items() if "lightgbm" not in name}
    monkeypatch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", lambda: quick)
    run = Run(tmp_path, fitted.config)
    prepare_run(run, world, tmp_path)
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    evaluate(run, Silent())
    found = fitted.evaluate()
    assert "metaselector-simplified" in set(found["model"])
    pd.testing.assert_frame_equal(found, pd.read_csv(tmp_path / "results.csv"), check_exact=True)


def test_a_known_user_is_predicted_as_in_the_table(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    run = fitted._fitted_run()
    episodes = window_episodes(run.dataset, (90, 100), run.config.adapt.support_size)
    table = load_adapted(run, "metaselector", 0).predict(run.dataset, episodes)
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
    """One step of gradient descent on the whole tables, by autograd."""
    history, _, rows = windows(fitted, raw, "u5")
    trained, dataset = fitted.trained, fitted._fitted_run().dataset
    params = dict(trained.mixture.named_parameters())
    support = rows[0] - 8 + np.arange(8)
    with torch.enable_grad():
        for parameter in params.values():
            parameter.requires_grad_()
        out = trained.mixture(dataset.batch(support))
        labels = dataset.label(support)
        loss = -(labels * out.log_positive + (1 - labels) * out.log_negative).mean()
        grads = torch.autograd.grad(loss, list(params.values()), materialize_grads=True)
    squares = {"selector": 0.0, "lr": 0.0, "fm": 0.0}
    for (name, _), grad in zip(params.items(), grads, strict=True):
        group = "selector" if name.startswith("selector.") else name.split(".")[1]
        squares[group] += (trained.alpha[name][0] * grad).double().square().sum().item()
    found = fitted.adapt(history).trace.loc[1]
    for group, square in squares.items():
        assert found[f"moved_{group}"] == pytest.approx(square**0.5, rel=1e-4)


def test_a_saved_model_predicts_the_same_without_its_data(
    fitted: MetaSelector, raw: pd.DataFrame, tmp_path: Path
) -> None:
    history, candidates, _ = windows(fitted, raw, "u4")
    fitted.save(tmp_path / "model")
    files = {path.name for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert files == {
        "config.yaml", "state.json", "model.safetensors",
        "schema.json", "rows.json", "known_users.parquet", "known_items.parquet", "sha256.json",
    }  # fmt: skip
    loaded = MetaSelector.load(tmp_path / "model")
    expected = fitted.adapt(history).predict(candidates)
    assert np.array_equal(loaded.adapt(history).predict(candidates), expected)
    of_run = MetaSelector.load(fitted._fitted_run().directory)
    assert np.array_equal(of_run.adapt(history).predict(candidates), expected)
    with pytest.raises(UserError, match="without its data"):
        loaded.evaluate()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="save the model again"):
        MetaSelector.load(tmp_path / "model")


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


def test_mistakes_are_named(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    history = raw[raw["user"] == "u1"]
    with pytest.raises(DataError, match=r"history \(column user\): has rows of 40 users"):
        fitted.adapt(raw)
    with pytest.raises(DataError, match=r"belongs to user 'u2', but the history to 'u1'"):
        fitted.adapt(history).predict(raw[raw["user"] == "u2"])
    with pytest.raises(DataError, match=r"history \(column rating\): there is no such column"):
        fitted.adapt(history.drop(columns="rating"))
    with pytest.raises(UserError, match="call predict first"):
        _ = fitted.adapt(history).weights
    with pytest.raises(UserError, match="call fit first"):
        MetaSelector().adapt(history)
    with pytest.raises(UserError, match="0 rows or more, not -1"):
        fitted.adapt(history, support_size=-1)
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        MetaSelector(adapt={"step": 3})
    with pytest.raises(ConfigError, match="needs columns="):
        MetaSelector().fit(raw)


def test_a_list_chooses_base_models() -> None:
    model = MetaSelector(["fm", "lr"], seed=3)
    assert list(model.config.base_models) == ["fm", "lr"]
    assert model.config.seeds == (3,)
    again = MetaSelector(config=model.config, adapt={"steps": 4}, seed=3).config
    assert (again.adapt.steps, list(again.base_models)) == (4, ["fm", "lr"])
    assert again.base_models == model.config.base_models


def test_settings_may_be_of_numpy() -> None:
    options = {"embedding_size": np.int64(4), "rates": np.array([0.5]), "bias": np.bool_(True)}
    model = MetaSelector({"fm": {"options": options}, "lr": None}, seed=np.int64(2),
                         adapt={"inner_lr_theta": np.float64(0.5)})  # fmt: skip
    settings = model.config.model_dump(mode="json")
    plain = {"embedding_size": 4, "rates": [0.5], "bias": True}
    assert settings["base_models"]["fm"]["options"] == plain
    assert yaml.safe_load(yaml.safe_dump(settings)) == settings
    with pytest.raises(ConfigError, match="give numbers, text, lists and mappings"):
        MetaSelector({"fm": {"options": {"embedding_size": object()}}})
    with pytest.raises(ConfigError, match=r"base_models\.fm: give its settings"):
        MetaSelector({"fm": 3})
    with pytest.raises(ConfigError, match="base_models: give a list of names"):
        MetaSelector(3)


def test_a_data_frame_is_data_too(raw: pd.DataFrame, tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    frame = raw.assign(
        at=pd.to_datetime(raw["timestamp"], unit="s"), price=generator.normal(size=len(raw))
    ).drop(columns="timestamp")
    items = pd.DataFrame(
        {"item": [f"i{i}" for i in range(25)], "kind": ["a", "b", "c", "d", "e"] * 5}
    )
    columns = {
        "user": "user", "item": "item", "time": "at", "label": "rating", "threshold": 4,
        "features": ["price"], "items": {"key": "item", "features": ["kind"]},
    }  # fmt: skip
    model = MetaSelector(**SETTINGS).fit(frame, columns, items=items)
    mine = frame[frame["user"] == "u2"].sort_values("at")
    user = model.adapt(mine.iloc[:20])
    expected = user.predict(mine.iloc[20:])
    model.save(tmp_path / "model")
    found = MetaSelector.load(tmp_path / "model").adapt(mine.iloc[:20]).predict(mine.iloc[20:])
    assert np.array_equal(found, expected)
    with pytest.raises(DataError, match=r"candidates \(column price\): there is no such column"):
        user.predict(mine.iloc[20:].drop(columns="price"))


def test_importing_the_package_does_not_wait_for_torch() -> None:
    program = "import sys, metaselector; assert 'MetaSelector' in metaselector.__all__; "
    program += "assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)

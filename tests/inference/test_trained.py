"""Saved models that are not what :meth:`TrainedModel.save` writes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

from metaselector.common.errors import CheckpointError, DataError, UserError
from metaselector.data.encoded.digests import add_digests
from metaselector.inference.adapted_user import AdaptedUser
from metaselector.inference.saved_model import MODEL, STATE
from metaselector.inference.trained import TrainedModel
from metaselector.training.checkpoint import read_checkpoint, save_checkpoint


@pytest.mark.parametrize(
    "name", ["config.yaml", STATE, MODEL, "data/rows.json", "data/schema.json"]
)
def test_a_changed_byte_is_damage(model: Path, name: str) -> None:
    path = model / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises((CheckpointError, DataError), match=path.name):
        TrainedModel.load(model)


def test_it_loads(model: Path) -> None:
    TrainedModel.load(model)


def _first(tensors: dict[str, Tensor], part: str) -> str:
    return next(name for name in tensors if name.startswith(part))


def without(part: str) -> Callable[[dict[str, Tensor]], None]:
    def apply(tensors: dict[str, Tensor]) -> None:
        del tensors[_first(tensors, part)]

    return apply


def with_(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({name: tensor})


def changed(part: str, change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], None]:
    def apply(tensors: dict[str, Tensor]) -> None:
        name = _first(tensors, part)
        tensors[name] = change(tensors[name])

    return apply


TENSORS: dict[str, tuple[Callable[[dict[str, Tensor]], None], str]] = {
    "weight nan": (changed("mixture/base", lambda t: t * torch.nan), "holds non-finite numbers"),
    "weight inf": (changed("mixture/sel", lambda t: t + torch.inf), "holds non-finite numbers"),
    "weight integer": (changed("mixture/base", Tensor.long), "is int64, not float32"),
    "weight bool": (changed("mixture/base", Tensor.bool), "is bool, not float32"),
    "weight half": (changed("mixture/base", Tensor.half), "is float16, not float32"),
    "weight longer": (changed("mixture/base", lambda t: t[:1]), r"has shape \[1"),
    "weight missing": (without("mixture/base"), "has no 'base_models"),
    "weight unknown": (with_("mixture/other", torch.ones(1)), "has 'other', which"),
    "rate missing": (without("alpha/"), "of the inner rates has no 'base_models"),
    "rate unknown": (with_("alpha/other", torch.ones(1)), "of the inner rates has 'other'"),
    "rate nan": (changed("alpha/", lambda t: t * torch.nan), "inner rates .*non-finite numbers"),
    "rate empty": (changed("alpha/", lambda t: t[:0]), r"has shape \[0\], not \[2\]"),
    "rate integer": (changed("alpha/", Tensor.long), "is int64, not float32"),
    "no slash": (
        with_("other", torch.ones(1)),
        "'other' is none of mixture/..., alpha/..., similarity/...",
    ),
    "other part": (with_("beta/other", torch.ones(1)), "'beta/other' is none of"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_do_not_fit(model: Path, case: str) -> None:
    change, problem = TENSORS[case]
    tensors = read_checkpoint(model / MODEL).tensors
    change(tensors)
    save_checkpoint(model / MODEL, tensors, {}, {})
    add_digests(model, [MODEL])
    with pytest.raises(CheckpointError, match=problem) as raised:
        TrainedModel.load(model)
    assert "\n" not in str(raised.value)
    assert str(model) in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"variant": "other"}, "variant: Input should be 'sample-selector'"),
        ({"variant": ["metaselector"]}, "variant: Input should be"),
        ({"variant": "sample-selector"}, "of the inner rates has 'base_models"),
        ({"seed": 0.5}, "seed: Input should be a valid integer"),
        ({"seed": "0"}, "seed: Input should be a valid integer"),
        ({"seed": -1}, "seed: Input should be greater"),
        ({"format": [2]}, "format: Input should be a valid integer"),
        ({"format": 2}, "has format 2, this version reads format 4"),
        ({"format": 3}, "has format 3, this version reads format 4"),
        ({"similarities": {"features": "features"}}, "similarities.features: Input should be"),
        ({"files": ["a"]}, "files: Input should be an object"),
    ],
)
def test_a_state_that_is_none(model: Path, changes: dict[str, Any], problem: str) -> None:
    state = json.loads((model / STATE).read_text()) | changes
    (model / STATE).write_text(json.dumps(state))
    add_digests(model, [STATE])
    with pytest.raises(CheckpointError, match=problem) as raised:
        TrainedModel.load(model)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"format": ' + "9" * 5000 + "}", "\0"])
def test_a_state_that_is_no_state(model: Path, text: str) -> None:
    (model / STATE).write_text(text)
    with pytest.raises(CheckpointError, match="no saved model, or a damaged one"):
        TrainedModel.load(model)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (
            "base_models.fm.options.embedding_size",
            10**12,
            r"need a tensor of shape \[\d+, 10{12}\]",
        ),
        ("base_models.fm.options.embedding_size", 3, r"has shape \[\d+, 2\], not \[\d+, 3\]"),
        ("selector.hidden_size", 2 * 10**9, r"need a tensor of shape \[20{9}, \d+\]"),
        ("base_models.fm.model", "deepfm", "do not fit its base models and selector"),
        ("adapt.steps", 5, "of the inner rates"),
    ],
)
def test_settings_that_do_not_fit(model: Path, key: str, value: Any, problem: str) -> None:
    config = model / "config.yaml"
    settings = yaml.safe_load(config.read_text())
    inner = settings
    *path, last = key.split(".")
    for part in path:
        inner = inner[part]
    inner[last] = value
    config.write_text(yaml.safe_dump(settings))
    add_digests(model, ["config.yaml"])
    with pytest.raises(UserError, match=problem):
        TrainedModel.load(model)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[]",
        '{"tasks": [{"name": 3}]}',
        lambda rows: rows | {"features": [{"name": "x", "kind": "other"}]},
        lambda rows: rows | {"tasks": [{"name": "x", "threshold": float("nan")}]},
        lambda rows: rows | {"time_parts": "hour"},
        lambda rows: rows | {"columns": {"user": 5}},
        lambda rows: rows | {"features": [*rows["features"], {"name": "no such field"}]},
    ],
)
def test_rows_that_no_preparation_describes(model: Path, text: Any) -> None:
    file = model / "data" / "rows.json"
    file.write_text(
        text if isinstance(text, str) else json.dumps(text(json.loads(file.read_text())))
    )
    add_digests(file.parent, [file.name])
    with pytest.raises(DataError) as raised:
        TrainedModel.load(model)
    assert str(file.parent) in str(raised.value)


WHEN = 890_000_000
THREADS, USERS = 4, 6


def predicted(trained: TrainedModel, user: int) -> np.ndarray:
    """What a user whom the model knows is predicted, with a history of their own."""
    items = [f"i{(user + k) % 25}" for k in range(6)]
    ratings = [float(1 + (user * k) % 5) for k in range(6)]
    history = pd.DataFrame(
        {"user": f"u{user}", "item": items, "rating": ratings, "timestamp": range(WHEN, WHEN + 6)}
    )
    candidates = pd.DataFrame({"item": ["i20", "i21"], "timestamp": WHEN + 100})
    return np.asarray(AdaptedUser(trained, history).predict(candidates))


def test_threads_get_the_same_numbers(saved: Path) -> None:
    trained = TrainedModel.load(saved)
    alone = [predicted(trained, user) for user in range(USERS)]
    assert len({p.tobytes() for p in alone}) == USERS
    fresh = TrainedModel.load(saved)  # of which nothing was asked yet
    users = list(range(USERS)) * 3
    with ThreadPoolExecutor(THREADS) as pool:
        for user, found in zip(users, pool.map(partial(predicted, fresh), users), strict=True):
            assert np.array_equal(found, alone[user])


def test_an_exception_in_a_call_leaves_the_model_whole(saved: Path) -> None:
    trained = TrainedModel.load(saved)
    expected = predicted(trained, 1)
    before = {
        name: id(tensor) for name, tensor in trained.mixture.state_dict(keep_vars=True).items()
    }

    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    for part in ("base_models.fm.embedding", "selector.output"):
        hook = trained.mixture.get_submodule(part).register_forward_pre_hook(fails)
        with pytest.raises(KeyboardInterrupt), ThreadPoolExecutor(1) as pool:
            pool.submit(predicted, trained, 1).result()
        hook.remove()
        after = trained.mixture.state_dict(keep_vars=True)
        assert {name: id(tensor) for name, tensor in after.items()} == before
        assert np.array_equal(predicted(trained, 1), expected)


def test_a_model_can_be_copied(saved: Path) -> None:
    trained = TrainedModel.load(saved)
    assert replace(trained, most_support=3).lock is trained.lock
    again = copy.deepcopy(trained)
    assert again.lock is not trained.lock
    assert np.array_equal(predicted(again, 1), predicted(trained, 1))

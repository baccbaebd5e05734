"""Similarities of rows in saved models: what is kept, what is refused, and damage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

from metaselector.common.errors import CheckpointError, ConfigError, UserError
from metaselector.config.load import change_config
from metaselector.config.plugins.kinds import SIMILARITIES
from metaselector.data.encoded.digests import add_digests
from metaselector.data.splitting.episodes import window_episodes
from metaselector.inference.adapted_user import AdaptedUser
from metaselector.inference.saved_model import MODEL, SETTINGS, STATE
from metaselector.inference.trained import TrainedModel
from metaselector.models.similarity.contract import Similarities
from metaselector.training.checkpoint import read_checkpoint, save_checkpoint

from .conftest import Untrained

ALL = ("features", "embeddings", "co-residuals")
RESIDUALS, VECTORS = "similarity/co-residuals/", "similarity/embeddings/vectors"


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a file of a model, and its digest."""
    read, write = (json.loads, json.dumps) if path.name == STATE else (yaml.safe_load, yaml.dump)
    content = read(path.read_text())
    change(content)
    path.write_text(write(content))
    add_digests(path.parent, [path.name])


def test_restored_similarities_return_the_same_numbers(untrained: Untrained) -> None:
    """Also after meta-training has changed the tables that embeddings were copied from."""
    episodes = window_episodes(untrained.dataset, (80, 100), 10)
    expected = untrained.trained.mixture.similarity(untrained.dataset, episodes)
    mixture = TrainedModel.load(untrained.directory).mixture
    loaded, table = mixture.similarity, mixture.base_models["fm"].embedding.weight
    kept = read_checkpoint(untrained.directory / MODEL).tensors[VECTORS]
    assert not (table[:, None] == kept).all(-1).any()
    assert loaded.names == ALL
    assert (expected != 0).flatten(0, 2).any(0).all()
    assert torch.equal(loaded(untrained.dataset, episodes), expected)


def test_what_is_kept(untrained: Untrained) -> None:
    """Items' vectors and users' residuals, by number; no name of a user or an item."""
    tensors = read_checkpoint(untrained.directory / MODEL).tensors
    kept = {name: t for name, t in tensors.items() if name.startswith("similarity/")}
    assert {name: (t.dtype, t.ndim) for name, t in kept.items()} == {
        VECTORS: (torch.float32, 2),
        f"{RESIDUALS}raters": (torch.int32, 1),
        f"{RESIDUALS}users": (torch.int32, 1),
        f"{RESIDUALS}residuals": (torch.float32, 1),
        f"{RESIDUALS}shrink": (torch.float64, 0),
    }
    state = json.loads((untrained.directory / STATE).read_text())
    assert state["similarities"] == {name: [name] for name in ALL}


def test_new_items_are_like_nothing_else(untrained: Untrained) -> None:
    """All are unknown, so only `embeddings` of the same item and genres could count."""
    trained = TrainedModel.load(untrained.directory)
    items = [f"new{i}" for i in range(6)]
    history = pd.DataFrame(
        {"user": "u1", "item": items, "rating": 5.0, "timestamp": range(890_000_000, 890_000_006)}
    )
    asked = pd.DataFrame({"item": ["new1", "other"], "timestamp": 890_000_100})
    found = []
    mixture = trained.mixture
    similarity = mixture.similarity

    def spied(*given: Any) -> Tensor:
        found.append(similarity(*given))
        return found[-1]

    mixture.similarity = type("Spied", (), {"names": ALL, "__call__": staticmethod(spied)})()
    with pytest.warns(UserWarning, match="unknown|have the item"):
        AdaptedUser(trained, history, allow_unknown=True).predict(asked)
    (numbers,) = found
    assert numbers.shape[-1] == len(ALL)
    at = numbers.nonzero().tolist()
    assert [(q, ALL[m]) for _, q, _, m in at] == [(0, "embeddings")]
    assert numbers.max() == 1


def without(name: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.pop(name)


def changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({name: change(tensors[name])})


def of_residuals(name: str, change: Callable[[Tensor], Tensor]) -> Any:
    return changed(RESIDUALS + name, change)


def first(value: float) -> Callable[[Tensor], Tensor]:
    return lambda t: torch.cat([torch.tensor([value], dtype=t.dtype), t[1:]])


TENSORS: Mapping[str, tuple[Callable[[dict[str, Tensor]], None], str]] = {
    "no vectors": (without(VECTORS), "'embeddings': has no 'vectors'"),
    "vectors nan": (changed(VECTORS, lambda t: t * torch.nan), "'vectors' holds non-finite"),
    "vectors half": (changed(VECTORS, Tensor.half), "is float16 with 2 axes, not float32 with 2"),
    "vectors flat": (changed(VECTORS, Tensor.flatten), "is float32 with 1 axes, not float32 with"),
    "fewer vectors": (changed(VECTORS, lambda t: t[1:]), r"'vectors' has \d+ items, not \d+"),
    "no users": (without(f"{RESIDUALS}users"), "'co-residuals': has no 'users'"),
    "raters cut": (of_residuals("raters", lambda t: t[1:]), r"'raters' has \d+ items, not \d+"),
    "raters -1": (of_residuals("raters", first(-1)), "'raters' and 'residuals' do not fit"),
    "more raters": (of_residuals("raters", first(99)), "'raters' and 'residuals' do not fit"),
    "residuals cut": (of_residuals("residuals", lambda t: t[1:]), "'residuals' do not fit"),
    "residual 2": (of_residuals("residuals", first(2)), "are out of range"),
    "residual inf": (of_residuals("residuals", first(torch.inf)), "holds non-finite numbers"),
    "user -1": (of_residuals("users", first(-1)), "'users' are not ascending .*, or out of range"),
    "user 2^31": (of_residuals("users", first(2**31 - 1)), "'users' are not ascending"),
    "users swapped": (of_residuals("users", lambda t: t.flip(0)), "'users' are not ascending"),
    "users long": (of_residuals("users", Tensor.long), "is int64 with 1 axes, not int32"),
    "shrink -1": (of_residuals("shrink", lambda t: -t), "'shrink' are out of range"),
    "more": (
        lambda tensors: tensors.update({"similarity/features/a": torch.ones(1)}),
        "similarity 'features': has 'a', which is not part of its state",
    ),
    "other": (
        lambda tensors: tensors.update({"similarity/other/a": torch.ones(1)}),
        "'other/a' belongs to no similarity",
    ),
}


@pytest.mark.parametrize("case", TENSORS)
def test_a_state_that_is_damaged(model: Path, case: str) -> None:
    change, problem = TENSORS[case]
    tensors = read_checkpoint(model / MODEL).tensors
    change(tensors)
    save_checkpoint(model / MODEL, tensors, {}, {})
    add_digests(model, [MODEL])
    with pytest.raises(CheckpointError, match=problem) as raised:
        TrainedModel.load(model)
    assert str(raised.value).startswith(f"{model}: ")
    assert str(raised.value).endswith("save the model again")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("similarities", "problem"),
    [
        ({"features": ["a"]}, r"'features': has the numbers \['features'\], but was saved with"),
        ({"features": []}, r"'features': has the numbers \['features'\], but was saved with \[\]"),
        ({"own.py:Own": ["own"]}, "similarity 'own.py:Own' is not in its settings"),
    ],
)
def test_names_that_do_not_fit(model: Path, similarities: Any, problem: str) -> None:
    """Code that only `state.json` names is never imported."""
    edit(model / STATE, lambda state: state["similarities"].update(similarities))
    with pytest.raises(CheckpointError, match=problem):
        TrainedModel.load(model)


def test_similarities_that_are_missing(model: Path) -> None:
    edit(model / STATE, lambda state: state["similarities"].clear())
    with pytest.raises(CheckpointError, match="belongs to no similarity of the model"):
        TrainedModel.load(model)


def uncorrected(untrained: Untrained, directory: Path) -> None:
    """Save the model as if its settings disabled the correction."""
    trained = untrained.trained
    config = change_config(trained.config, {"adapt.residuals.enabled": False})
    alpha = {n: rate for n, rate in trained.alpha.items() if not n.startswith("residuals/")}
    replace(trained, config=config, alpha=alpha).save(directory)


def test_a_model_without_the_correction_keeps_none(untrained: Untrained, tmp_path: Path) -> None:
    uncorrected(untrained, tmp_path / "model")
    assert json.loads((tmp_path / "model" / STATE).read_text())["similarities"] == {}
    tensors = read_checkpoint(tmp_path / "model" / MODEL).tensors
    assert not [name for name in tensors if name.startswith("similarity/")]
    assert TrainedModel.load(tmp_path / "model").mixture.similarity.names == ()


def test_the_former_format_is_read_if_nothing_is_corrected(
    untrained: Untrained, tmp_path: Path
) -> None:
    def former(state: dict[str, Any]) -> None:
        del state["similarities"]
        state["format"] = 3

    uncorrected(untrained, tmp_path / "model")
    edit(tmp_path / "model" / STATE, former)
    TrainedModel.load(tmp_path / "model")
    edit(tmp_path / "model" / SETTINGS, lambda settings: settings["adapt"].pop("residuals"))
    with pytest.raises(CheckpointError, match=r"format 3, this version reads format 4; use the"):
        TrainedModel.load(tmp_path / "model")


def test_a_similarity_without_the_methods_is_refused(
    untrained: Untrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own:
        names = ("own",)

        def __call__(self, dataset: Any, episodes: Any) -> Tensor:
            return torch.zeros(*episodes.query.shape, episodes.support.shape[1], 1)

    monkeypatch.setitem(SIMILARITIES.registered, "own", Own)
    monkeypatch.setattr(untrained.trained.mixture, "similarity", Similarities({"own": Own()}))
    with pytest.raises(ConfigError, match="similarity 'own': has no method state, so") as raised:
        untrained.trained.save(tmp_path / "model")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "model").exists()


def test_a_file_with_a_similarity_must_not_change(untrained: Untrained, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "similarity.md").read_text("utf-8")
    path = tmp_path / "same.py"
    path.write_text(page.split("```python\n")[1].split("```")[0])
    name, trained = f"{path}:SameItem", untrained.trained
    config = change_config(trained.config, {"adapt.residuals.similarities": [name]})
    part = SIMILARITIES.load(name)(untrained.dataset, {}, None, None)
    before = trained.mixture.similarity
    trained.mixture.similarity = Similarities({name: part})
    numbers = trained.alpha["residuals/similarity"][:1]
    alpha = trained.alpha | {"residuals/similarity": numbers}
    replace(trained, config=config, alpha=alpha).save(tmp_path / "model")
    trained.mixture.similarity = before
    with pytest.raises(UserError, match="names Python code"):
        TrainedModel.load(tmp_path / "model")
    loaded = TrainedModel.load(tmp_path / "model", allow_code=True)
    assert loaded.mixture.similarity.names == ("same-item",)
    path.write_text(path.read_text() + "# changed\n")
    with pytest.raises(CheckpointError, match=r"adapt\.residuals\.similarities: .*has changed"):
        TrainedModel.load(tmp_path / "model", allow_code=True)

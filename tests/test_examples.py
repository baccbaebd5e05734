"""The example of a custom base model works, from registration to adaptation."""

from __future__ import annotations

import importlib.util
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from metaselector.common.progress import Silent
from metaselector.config import Config
from metaselector.config.plugins import registry as plugins
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting.episodes import load_episodes, window_episodes
from metaselector.data.splitting.windows import window_rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import MetaSGD
from metaselector.models import registry
from metaselector.models.build import build_mixture
from metaselector.models.losses import mean_loss
from metaselector.testing import check_base_model
from metaselector.training.predict import logloss
from metaselector.training.pretrain import pretrain

EXAMPLE = Path(__file__).parents[1] / "examples" / "popularity.py"
NAME = "popularity"
OPTIONS = {"user_field": "mood"}  # the planted world has no user field


@pytest.fixture(scope="module")
def model_class() -> type[nn.Module]:
    spec = importlib.util.spec_from_file_location(NAME, EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type[nn.Module] = module.Popularity
    return found


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch, model_class: type[nn.Module]) -> None:
    monkeypatch.setattr(registry.MODELS, "registered", {})
    registry.register(NAME, model_class)


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted_world(8, 50, 8, np.random.default_rng(0)).dataset


def create(dataset: EncodedDataset) -> nn.Module:
    return registry.build_base_model(NAME, dataset.schema, OPTIONS, 0)


def fit(model: nn.Module, dataset: EncodedDataset) -> None:
    pretrain(
        model,
        dataset,
        window_rows(dataset.user_offsets, 0, 60),
        PretrainConfig(learning_rate=0.01, batch_size=64),
        np.random.default_rng(0),
        valid=None,
        epochs=1,
        description=NAME,
        progress=Silent(),
    )


def test_it_conforms(model_class: type[nn.Module]) -> None:
    check_base_model(model_class)


@pytest.mark.usefixtures("registered")
def test_it_is_created_by_name(dataset: EncodedDataset, model_class: type[nn.Module]) -> None:
    assert NAME in registry.names()
    assert isinstance(create(dataset), model_class)


@pytest.mark.usefixtures("registered")
def test_it_learns(dataset: EncodedDataset) -> None:
    model = create(dataset)
    rows = window_rows(dataset.user_offsets, 0, 60)
    before = logloss(model, dataset, rows)
    fit(model, dataset)
    assert logloss(model, dataset, rows) < before


@pytest.mark.usefixtures("registered")
def test_it_reads_only_the_fields_it_is_given(dataset: EncodedDataset) -> None:
    model = create(dataset)
    batch = dataset.batch(np.arange(20))
    before = model(batch)
    slots = torch.tensor([0, 1, 1, 0])  # cluster and taste
    assert torch.equal(model(batch._replace(ids=batch.ids + slots)), before)


@pytest.mark.usefixtures("registered")
def test_it_adapts_in_a_mixture(dataset: EncodedDataset) -> None:
    models = {NAME: create(dataset), "lr": registry.build_base_model("lr", dataset.schema, {}, 0)}
    mixture = build_mixture(models, dataset.schema, Config(), 0)
    params = dict(mixture.named_parameters())
    assert f"base_models.{NAME}.effect" in mixture.tables
    rule = MetaSGD(0.5)
    names = tuple(name for name in params if NAME in name)
    adaptation = Adaptation(rule, 1, names)
    rates = rule.init({name: params[name] for name in names})
    episodes = load_episodes(dataset, window_episodes(dataset, (80, 90), 10))
    engine = FuncEngine()
    adapted = engine(mixture, params, rates, adaptation, episodes, mean_loss)
    start = mixture(episodes.query.batch)
    assert adapted.log_positive.shape == episodes.query.labels.shape
    assert (adapted.base_probabilities[..., 0] != start.base_probabilities[..., 0]).any()
    assert torch.equal(adapted.base_probabilities[..., 1], start.base_probabilities[..., 1])


def test_another_package_may_offer_it_as_an_entry_point(
    monkeypatch: pytest.MonkeyPatch, dataset: EncodedDataset
) -> None:
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    point = EntryPoint(NAME, "popularity:Popularity", registry.GROUP)

    def entry_points(group: str) -> list[EntryPoint]:
        return [point] if group == registry.GROUP else []

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    assert NAME in registry.names()
    assert type(create(dataset)).__name__ == "Popularity"

"""Base models by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
import torch
from torch import nn

from base_models import LR
from metaselector import registry
from metaselector.data.schema import Field, Schema
from metaselector.errors import ConfigError

SCHEMA = Schema(
    dataset="tiny",
    label_threshold=1,
    history_length=0,
    windows=(60, 80, 90),
    fields=(Field(name="item", kind="categorical", slots=1, first_id=1, vocabulary=("x",)),),
)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_the_seed_decides_the_weights(name: str) -> None:
    first, same, other = (registry.create(name, SCHEMA, {}, seed) for seed in (1, 1, 2))
    for a, b in zip(first.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    if name != "lr":  # starts at 0
        assert any(
            not torch.equal(a, b)
            for a, b in zip(first.parameters(), other.parameters(), strict=True)
        )


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_creation_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    registry.create(name, SCHEMA, {}, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_creation_leaves_the_generators_of_devices_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def seeded(seed: int) -> None:
        raise AssertionError("seeded the devices")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded)
    registry.create("fm", SCHEMA, {}, 1)


def test_options_reach_the_model() -> None:
    model = registry.create("fm", SCHEMA, {"embedding_size": 5}, 0)
    assert model.get_parameter("embedding.weight").shape == (SCHEMA.num_ids, 5)


def test_built_in_models_are_listed() -> None:
    assert set(registry.BUILT_IN) <= set(registry.names())


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown base model 'depfm'; did you mean 'deepfm'"):
        registry.create("depfm", SCHEMA, {}, 0)


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"fm.embeding_size.*did you mean 'embedding_size'"):
        registry.create("fm", SCHEMA, {"embeding_size": 5}, 0)


def test_unknown_option_of_a_model_without_any() -> None:
    with pytest.raises(
        ConfigError, match=r"lr.embedding_size: unknown option; this model has none"
    ):
        registry.create("lr", SCHEMA, {"embedding_size": 5}, 0)


@pytest.mark.parametrize("option", ["num_ids", "slot_fields"])
def test_what_the_data_decides_is_no_option(option: str) -> None:
    with pytest.raises(ConfigError, match="unknown option"):
        registry.create("fm", SCHEMA, {option: 5}, 0)


@pytest.mark.usefixtures("registered")
def test_registered_model_is_created() -> None:
    class Mine(LR):
        pass

    registry.register("mine", Mine)
    assert "mine" in registry.names()
    assert isinstance(registry.create("mine", SCHEMA, {}, 0), Mine)


@pytest.mark.usefixtures("registered")
def test_a_name_is_taken_once() -> None:
    with pytest.raises(ConfigError, match="'lr' exists already"):
        registry.register("lr", LR)


def test_entry_points_of_other_packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("other", "base_models.lr:LR", registry.GROUP)

    def entry_points(group: str, name: str = "other") -> list[EntryPoint]:
        return [point] if (group, name) == (registry.GROUP, "other") else []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    assert "other" in registry.names()
    model: nn.Module = registry.create("other", SCHEMA, {}, 0)
    assert isinstance(model, LR)

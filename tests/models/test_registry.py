"""Base models by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from base_models import LR
from metaselector.common.errors import ConfigError
from metaselector.config.plugins import registry as plugins
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.schema import Field, Schema
from metaselector.models import registry

SCHEMA = Schema(
    dataset="tiny",
    label_threshold=1,
    history_length=0,
    windows=(60, 80, 90),
    fields=(
        Field(name="user", kind="categorical", slots=1, first_id=1, vocabulary=("u",)),
        Field(name="item", kind="categorical", slots=1, first_id=3, vocabulary=("x",)),
        Field(name="seen", kind="sequence", slots=2, first_id=5, vocabulary=("x",)),
        Field(name="history_items", kind="sequence", slots=2, first_id=7, vocabulary=("x",)),
    ),
)


FUNNEL = SCHEMA.model_copy(update={"tasks": ("click", "buy"), "task_after": (-1, 0)})
"""The same data with a second task after the first one."""
UNRELATED = FUNNEL.model_copy(update={"task_after": None})


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.MODELS, "registered", {})


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_the_seed_decides_the_weights(name: str) -> None:
    first, same, other = (registry.build_base_model(name, FUNNEL, {}, seed) for seed in (1, 1, 2))
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
    registry.build_base_model(name, FUNNEL, {}, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_creation_leaves_the_generators_of_devices_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def seeded(seed: int) -> None:
        raise AssertionError("seeded the devices")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded)
    registry.build_base_model("fm", SCHEMA, {}, 1)


def test_options_reach_the_model() -> None:
    model = registry.build_base_model("fm", SCHEMA, {"embedding_size": 5}, 0)
    assert model.get_parameter("embedding.weight").shape == (SCHEMA.num_ids, 5)


def test_a_multi_task_model_needs_data_of_several_tasks() -> None:
    with pytest.raises(ConfigError, match=r"base_models\.mine: PLE .*only one task, rating"):
        registry.build_base_model("ple", SCHEMA, {}, 0, called="mine")


def test_a_model_may_have_a_name_of_its_own() -> None:
    small = registry.build_base_model("fm", SCHEMA, {"embedding_size": 2}, 0, called="small")
    assert small.get_parameter("embedding.weight").shape == (SCHEMA.num_ids, 2)
    with pytest.raises(ConfigError, match=r"base_models\.small\.options\.embeding_size"):
        registry.build_base_model("fm", SCHEMA, {"embeding_size": 2}, 0, called="small")
    with pytest.raises(ConfigError, match=r"unknown base model 'fmm'.*fm"):
        registry.build_base_model("fmm", SCHEMA, {}, 0, called="small")


def test_built_in_models_are_listed() -> None:
    assert set(registry.BUILT_IN) <= set(registry.names())


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown base model 'depfm'; did you mean 'deepfm'"):
        registry.build_base_model("depfm", SCHEMA, {}, 0)


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"fm.options.embeding_size.*did you mean 'embedding_size'"
    ):
        registry.build_base_model("fm", SCHEMA, {"embeding_size": 5}, 0)


def test_unknown_option_of_a_model_without_any() -> None:
    with pytest.raises(
        ConfigError, match=r"lr.options.embedding_size: unknown option; this model has none"
    ):
        registry.build_base_model("lr", SCHEMA, {"embedding_size": 5}, 0)


@pytest.mark.parametrize("option", ["num_ids", "slot_fields"])
def test_what_the_data_decides_is_no_option(option: str) -> None:
    with pytest.raises(ConfigError, match="unknown option"):
        registry.build_base_model("fm", SCHEMA, {option: 5}, 0)


class Reader(LR):
    """Remembers what its constructor got."""

    fields: ClassVar = {"item_field": "item", "history_field": "history_items"}

    def __init__(
        self, num_ids: int, slot_fields: list[int], item_field: int, history_field: int
    ) -> None:
        super().__init__(num_ids, slot_fields)
        self.found = item_field, history_field


@pytest.mark.parametrize(
    ("options", "indices"),
    [
        ({}, (1, 3)),
        ({"history_field": "seen"}, (1, 2)),
        ({"item_field": "user", "history_field": "item"}, (0, 1)),
    ],
)
@pytest.mark.usefixtures("registered")
def test_names_of_fields_become_indices(options: dict[str, str], indices: tuple[int, int]) -> None:
    registry.register("reader", Reader)
    given = dict(options)
    model: Any = registry.build_base_model("reader", SCHEMA, options, 0)
    assert model.found == indices
    assert options == given


@pytest.mark.parametrize(
    ("option", "field", "problem"),
    [
        ("history_field", "history_item", "did you mean 'history_items'"),
        ("item_field", 1, "valid names: history_items, item, seen, user"),
    ],
)
def test_a_field_that_the_data_has_not_names_the_nearest(
    option: str, field: Any, problem: str
) -> None:
    expected = rf"base_models.itemknn.options.{option}: the data has no field '{field}'; {problem}"
    with pytest.raises(ConfigError, match=expected):
        registry.build_base_model("itemknn", SCHEMA, {option: field}, 0)


def test_the_usual_field_may_be_missing_in_the_data() -> None:
    plain = SCHEMA.model_copy(update={"fields": SCHEMA.fields[:2]})
    with pytest.raises(ConfigError, match=r"sequence.*'history_items'; valid names: item, user"):
        registry.build_base_model("sequence", plain, {}, 0)


@pytest.mark.usefixtures("registered")
def test_registered_model_is_created() -> None:
    class Mine(LR):
        pass

    registry.register("mine", Mine)
    assert "mine" in registry.names()
    assert isinstance(registry.build_base_model("mine", SCHEMA, {}, 0), Mine)


@pytest.mark.usefixtures("registered")
def test_a_name_is_taken_once() -> None:
    with pytest.raises(ConfigError, match="'lr' already exists"):
        registry.register("lr", LR)


def test_entry_points_of_other_packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("other", "base_models.lr:LR", registry.GROUP)

    def entry_points(group: str) -> list[EntryPoint]:
        return [point] if group == registry.GROUP else []

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    assert "other" in registry.names()
    model: nn.Module = registry.build_base_model("other", SCHEMA, {}, 0)
    assert isinstance(model, LR)


class Tasked(LR):
    """Remembers what its constructor got."""

    def __init__(self, num_ids: int, slot_fields: list[int], tasks: Any, width: int = 3) -> None:
        super().__init__(num_ids, slot_fields)
        self.found = list(tasks), width

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch).unsqueeze(-1).expand(-1, len(self.found[0]))


@pytest.mark.parametrize(
    ("schema", "tasks"),
    [
        (FUNNEL, [(None, False), (0, False)]),
        (UNRELATED, [(None, False)] * 2),
    ],
)
@pytest.mark.usefixtures("registered")
def test_a_model_that_takes_tasks_gets_those_of_the_data(schema: Schema, tasks: Any) -> None:
    registry.register("tasked", Tasked)
    model: Any = registry.build_base_model("tasked", schema, {"width": 5}, 0)
    assert model.found == (tasks, 5)


def test_tasks_are_no_option() -> None:
    with pytest.raises(ConfigError, match=r"mmoe.options.tasks: unknown option"):
        registry.build_base_model("mmoe", FUNNEL, {"tasks": [(None, False)]}, 0)


BATCH = torch.ones(5, 6, dtype=torch.int64), torch.ones(5, 6)


@pytest.mark.parametrize("name", ["lr", "fm", "deepfm", "additive", "itemknn", "sequence"])
def test_a_single_task_model_is_made_for_each_task(name: str) -> None:
    single, several = (
        registry.build_base_model(name, schema, {}, 0) for schema in (SCHEMA, FUNNEL)
    )
    assert single(BATCH).shape == (5,)
    assert several(BATCH).shape == (5, 2)
    names = {key for key, _ in single.named_parameters()}
    assert {key for key, _ in several.named_parameters()} == {
        f"models.{t}.{key}" for t in range(2) for key in names
    }
    assert set(several.tables) == {f"models.{t}.{key}" for t in range(2) for key in single.tables}
    if name != "lr":  # starts at 0
        first, second = (dict(model.named_parameters()) for model in several.models)
        assert torch.equal(first["embedding.weight"], single.embedding.weight)
        assert not torch.equal(first["embedding.weight"], second["embedding.weight"])


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("esmm", {}, "base_models.esmm: ESMM needs a task that is after another"),
        ("rnr", {}, "base_models.rnr: RnR needs two tasks, the second after the first"),
        ("mran", {"heads": 3}, "base_models.mran: heads must divide embedding_size, got 3 and 16"),
    ],
)
def test_what_a_model_refuses_is_a_mistake_of_the_configuration(
    name: str, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        registry.build_base_model(name, UNRELATED, options, 0)

"""The configurations of published runs."""

from __future__ import annotations

from pathlib import Path

from metaselector.config import Config, load_config
from metaselector.data.own.log_schema import load_schema

CONFIGS = Path(__file__).parents[2] / "benchmarks" / "configs"


def test_six_models_are_the_default_ones_and_one_more() -> None:
    config, default = load_config(CONFIGS / "six-models.yaml"), Config()
    assert [*config.base_models] == [*default.base_models, "sequence"]
    for name, settings in default.base_models.items():
        assert config.base_models[name] == settings
    assert config.model_copy(update={"base_models": default.base_models}) == default


def test_trivago_is_described_by_a_schema_of_this_repository() -> None:
    config = load_config(CONFIGS / "trivago.yaml")
    schema = load_schema(CONFIGS.parents[1] / config.dataset)
    assert schema.name == "trivago"  # names the folder of results
    assert schema.list is not None
    assert config.adapt.support_size >= 4 * 25  # several lists of the usual length

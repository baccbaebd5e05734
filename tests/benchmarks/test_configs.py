"""The configurations of published runs."""

from __future__ import annotations

from pathlib import Path

from metaselector.config import Config, load_config

CONFIGS = Path(__file__).parents[2] / "benchmarks" / "configs"


def test_six_models_are_the_default_ones_and_one_more() -> None:
    config, default = load_config(CONFIGS / "six-models.yaml"), Config()
    assert [*config.base_models] == [*default.base_models, "sequence"]
    for name, settings in default.base_models.items():
        assert config.base_models[name] == settings
    assert config.model_copy(update={"base_models": default.base_models}) == default

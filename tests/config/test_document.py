"""Settings printed as YAML, with their descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from metaselector.config import BaseModelConfig, Config, documented_yaml, load_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("adapt.parameters=['selector.*', '*.bias']", "seeds=[3, 4]", "dataset='yes: #1'"),
        ("protocol=global", "split.dates=[2024-01-01, 2024-02-01T12:00:00.5, 2024-03-01]"),
        ("base_models.fm.options={embedding_size: 3}", "meta_train.outer_lr_phi=1e-7"),
    ],
)
def test_printed_settings_can_be_loaded(overrides: tuple[str, ...], file: Path) -> None:
    config = load_config(overrides=overrides)
    file.write_text(documented_yaml(config), encoding="utf-8")
    assert load_config(file) == config


def test_the_order_of_base_models_is_explained() -> None:
    assert "\nbase_models:  # base models by name; their order is the order of the selector" in (
        documented_yaml(Config())
    )


def test_a_long_option_can_be_printed_and_loaded(file: Path) -> None:
    option = {"words": [f"word {i}" for i in range(50)], "text": "a b " * 60 + "# not a comment"}
    config = Config(base_models={"mine": BaseModelConfig(options=option)})
    file.write_text(documented_yaml(config), encoding="utf-8")
    assert load_config(file) == config


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for info in model.model_fields.values():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from sections(info.annotation)


def test_every_setting_says_what_it_means() -> None:
    for section in (*sections(Config), *sections(BaseModelConfig)):
        for name, info in section.model_fields.items():
            is_section = isinstance(info.annotation, type) and issubclass(
                info.annotation, BaseModel
            )
            described = is_section or name == "base_models" or info.description
            assert described, f"{section.__name__}.{name} has no description"


def test_every_meaning_is_printed() -> None:
    text = documented_yaml(Config())
    for section in (*sections(Config), *sections(BaseModelConfig)):
        for name, info in section.model_fields.items():
            if info.description and section.__name__ != "BaseModelConfig":
                assert f"{name}: " in text
                assert f"# {info.description}" in text

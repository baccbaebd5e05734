"""Every setting, with its default, unit and meaning; a YAML file and flags change them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from metaselector.common.errors import ConfigError, nearest
from metaselector.common.text import shown
from metaselector.common.yaml_file import line_of, read_mapping, read_yaml
from metaselector.config.data import ColdConfig, DataConfig, SplitConfig
from metaselector.config.default_models import KNOWN, default_base_models
from metaselector.config.meta import (
    AdaptConfig,
    EvaluateConfig,
    MetaTrainConfig,
    SelectorConfig,
)
from metaselector.config.models import BaseModelConfig, ScoresConfig
from metaselector.config.plugins.consent import check_code
from metaselector.config.plugins.kinds import TRACKERS
from metaselector.config.plugins.registry import checked
from metaselector.config.training import (
    CheckpointConfig,
    Section,
    TeachingConfig,
    TransferConfig,
)

__all__ = [
    "TABLE_ROWS",
    "AdaptConfig",
    "BaseModelConfig",
    "CheckpointConfig",
    "ColdConfig",
    "Config",
    "DataConfig",
    "EvaluateConfig",
    "MetaTrainConfig",
    "ScoresConfig",
    "SelectorConfig",
    "SplitConfig",
    "change_config",
    "documented_yaml",
    "load_config",
]

LONGEST_NAME = 200
"""Characters of a base model's name, which is part of a file's."""
TABLE_ROWS = (
    "uniform",
    "convex",
    "stacking-logistic",
    "stacking-lightgbm",
    "stacking-lightgbm-features",
    "sample-selector",
    "user-best",
    "user-exponential",
    "user-bias",
    "user-finetuned",
    "metaselector-simplified-maml",
    "metaselector-simplified-first-order-maml",
    "metaselector-simplified",
    "metaselector-maml",
    "metaselector-first-order-maml",
    "metaselector",
    "oracle-sample",
    "oracle-user",
)
"""Rows of the results table that combine base models, in its order."""

MOST_KEY = 1000
"""Characters of a setting's dotted name."""


def _base_models(described: Mapping[str, Any]) -> dict[str, BaseModelConfig]:
    return {name: BaseModelConfig.model_validate(model) for name, model in described.items()}


class Config(Section):
    """All settings of a run."""

    dataset: str = Field(
        "movielens-100k",
        description="name of the data set, one of those that `metaselector reproduce --help` lists",
    )
    protocol: Literal["warm", "cold"] = Field(
        "warm",
        description="warm: each user's later rows are predicted, of users whose earlier ones base "
        "models are trained on; cold: users that base models have never seen",
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(
        (0,), min_length=1, description="one run of everything a seed"
    )
    device: str = Field("cpu", description="torch device, such as cpu or cuda")
    threads: int = Field(2, ge=1, le=1024, description="CPU threads of torch")
    data: DataConfig = Field(default_factory=DataConfig)
    split: SplitConfig = Field(default_factory=SplitConfig)
    cold: ColdConfig = Field(default_factory=ColdConfig)
    base_models: dict[str, BaseModelConfig] = Field(
        default_factory=lambda given: _base_models(default_base_models(given["dataset"])),
        min_length=1,
    )
    transfer: TransferConfig = Field(default_factory=TransferConfig)
    teaching: TeachingConfig = Field(default_factory=TeachingConfig)
    selector: SelectorConfig = Field(default_factory=SelectorConfig)
    adapt: AdaptConfig = Field(default_factory=AdaptConfig)
    meta_train: MetaTrainConfig = Field(default_factory=MetaTrainConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    tracking: tuple[str, ...] = Field(
        (),
        description="who takes down losses and rates beside logs/training.jsonl: tensorboard, "
        "mlflow, wandb, a plug-in, or a class in a file",
    )

    @property
    def percentages(self) -> SplitConfig:
        """Those of the protocol: of each user's rows if it is warm, of the users if it is cold."""
        return self.cold if self.protocol == "cold" else self.split

    @property
    def taught(self) -> tuple[str, ...]:
        """The base models that teach each other; those that are scores take no part."""
        if self.teaching.strategy == "independent":
            return ()
        return tuple(name for name, model in self.base_models.items() if not model.gives_scores)

    @property
    def cold_seed(self) -> int | None:
        """What splits the users; None if they are not."""
        return self.cold.split_seed if self.protocol == "cold" else None

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("every seed once")
        return seeds

    @field_validator("tracking")
    @classmethod
    def _known(cls, tracking: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked(TRACKERS, name) for name in tracking)

    @field_validator("base_models")
    @classmethod
    def _usable_names(cls, models: dict[str, BaseModelConfig]) -> dict[str, BaseModelConfig]:
        # A name becomes a file name, part of a parameter name, and a row of the table.
        for name in models:
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name):
                raise ValueError(
                    f"{shown(name)}: use letters, digits, _ and - in a base model's name"
                )
            if len(name) > LONGEST_NAME:
                raise ValueError(f"{shown(name)}: has more than {LONGEST_NAME} characters")
            if name in TABLE_ROWS or name.endswith("-train"):
                raise ValueError(f"'{name}' is the name of another row of the results table")
        return models


def load_config(
    path: Path | None = None,
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] = {},
    *,
    allow_code: bool = False,
    typed: Sequence[str] = (),
) -> Config:
    """The defaults, changed by a YAML file, then by ``key=value`` overrides, then by `changes`.

    A file's or an override's settings for a base model start from that model's defaults; a file
    that has ``base_models`` thereby also chooses which models there are.

    Args:
        path: a YAML file with any of the settings.
        overrides: ``section.key=value``, the value in YAML.
        changes: nested settings, as from command-line flags.
        allow_code: whether the file may name Python code, ``file.py:Class`` or
            ``package.module.Class``, that `overrides` and `changes` do not.
        typed: further code that the user has named.

    Raises:
        ConfigError: the file cannot be read, a key is unknown, a value impossible, or it names code
            that may not run.
    """
    layers = [{} if path is None else read_mapping(path)]
    layers += [_override(text) for text in overrides] + [dict(changes)]
    named = [layer["dataset"] for layer in layers if isinstance(layer.get("dataset"), str)]
    start = Config(dataset=named[-1]) if named else Config()
    settings: dict[str, Any] = start.model_dump(mode="json")
    if isinstance(layers[0].get("base_models"), dict):
        settings["base_models"] = {}
    known = {name: model.model_dump(mode="json") for name, model in _base_models(KNOWN).items()}
    for layer in layers:
        _merge(settings, layer, known)

    def place(key: Sequence[str | int]) -> str:
        """Where in the file a setting stands, if it comes from there."""
        if path is None or any(_sets(layer, key) for layer in layers[1:]):
            return ""
        line = line_of(path, key)
        return "" if line is None else f"{path}:{line}: "

    config = _validated(settings, place)
    if path is not None and not allow_code:
        check_code(path, config.model_dump(mode="json"), [*layers[1:], *typed])
    return config


def _override(text: str) -> dict[str, Any]:
    """``section.key=value`` as nested settings."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: expected KEY=VALUE, such as adapt.steps=3")
    if len(key) > MOST_KEY:
        raise ConfigError(f"--set {key[:MOST_KEY]}...: no setting has such a long name")
    nested: dict[str, Any] = _nested(key, read_yaml(value, f"--set {key}", lines=False))
    return nested


def change_config(config: Config, changes: Mapping[str, Any]) -> Config:
    """`config` with other values of the settings whose dotted names are the keys of `changes`.

    Raises:
        ConfigError: a key is unknown, or a value impossible.
    """
    settings = config.model_dump(mode="json")
    for key, value in changes.items():
        _merge(settings, _nested(key, value), {})
    return _validated(settings)


def _nested(key: str, value: Any) -> Any:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _validated(
    settings: Mapping[str, Any], place: Callable[[Sequence[str | int]], str] = lambda key: ""
) -> Config:
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(place(error.errors()[0]["loc"]) + _explain(error)) from error


def _sets(layer: Any, key: Sequence[str | int]) -> bool:
    """Whether `layer` has something for the setting, or for a part of it."""
    for part in key:
        if not isinstance(layer, Mapping):
            return True
        if part not in layer:
            return False
        layer = layer[part]
    return True


def _merge(
    settings: dict[str, Any], given: Mapping[str, Any], known_models: Mapping[str, Any]
) -> None:
    """Lay `given` over `settings`, section by section."""
    for key, value in given.items():
        if key == "base_models" and isinstance(value, dict):
            models = settings.setdefault(key, {})
            for name, model in value.items():
                models.setdefault(name, copy.deepcopy(known_models.get(name, {})))
                _merge(models, {name: model or {}}, {})
        elif isinstance(value, Mapping) and isinstance(settings.get(key), dict):
            _merge(settings[key], value, {})
        else:
            settings[key] = value


def _explain(error: ValidationError) -> str:
    """The first problem in one line, with the nearest valid key where a key is unknown."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        section = _section(location[:-1])
        return f"{key}: unknown setting; {nearest(location[-1], section.model_fields)}"
    return f"{key or 'config'}: {first['msg']} (got {shown(first['input'])})"


def _section(location: Sequence[str]) -> type[BaseModel]:
    """The model class that holds the settings at `location`."""
    section: type[BaseModel] = Config
    parts = list(location)
    while parts:
        part = parts.pop(0)
        if section is Config and part == "base_models":
            section = BaseModelConfig
            parts = parts[1:]  # the model's name
        else:
            annotation = section.model_fields[part].annotation
            if annotation == ScoresConfig | None:
                annotation = ScoresConfig
            assert isinstance(annotation, type)
            section = annotation
    return section


def documented_yaml(config: Config) -> str:
    """`config` as YAML with every setting's meaning as a comment."""
    lines: list[str] = []

    def write(model: BaseModel, indent: str) -> None:
        for name, info in type(model).model_fields.items():
            value = getattr(model, name)
            if isinstance(value, BaseModel):
                lines.append(f"{indent}{name}:")
                write(value, indent + "  ")
            elif name == "base_models":
                lines.append(f"{indent}{name}:")
                for model_name, base_model in value.items():
                    lines.append(f"{indent}  {model_name}:")
                    write(base_model, indent + "    ")
            else:
                lines.append(f"{indent}{name}: {_inline(value)}{_comment(info)}")

    write(config, "")
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True).removesuffix("\n...\n").strip()


def _comment(info: FieldInfo) -> str:
    return f"  # {info.description}" if info.description else ""

"""Load settings: defaults, then a YAML file, then flags."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from metaselector.common.errors import ConfigError, nearest
from metaselector.common.text import shown
from metaselector.common.yaml_file import line_of, read_mapping, read_yaml
from metaselector.config.config import Config, base_models_of
from metaselector.config.models import MODEL_DEFAULTS, BaseModelConfig, ScoresConfig
from metaselector.config.plugins.consent import check_code
from metaselector.config.renamed import (
    current_key,
    former_key,
    warn_former,
    with_current_names,
)

LONGEST_KEY = 1000
"""Maximum characters of a setting's dotted name."""


def load_config(
    path: Path | None = None,
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] = {},
    *,
    allow_code: bool = False,
    typed: Sequence[str] = (),
) -> Config:
    """Load the defaults, then apply a YAML file, ``key=value`` overrides and `changes`, in order.

    Settings of a base model start from that model's defaults. A file with ``base_models`` also
    chooses the models: only those it lists are trained.

    Args:
        path: a YAML file with any of the settings.
        overrides: ``section.key=value``, the value in YAML.
        changes: nested settings, as from command-line flags.
        allow_code: whether the file may name Python code, ``file.py:Class`` or
            ``package.module.Class``, that `overrides` and `changes` do not name.
        typed: further code that the user has named.

    Raises:
        ConfigError: the file cannot be read, a key is unknown, a value is invalid, or the file
            names code that may not run.

    Example:
        >>> load_config(overrides=["adapt.steps=3"]).adapt.steps
        3
    """
    given: list[tuple[Path | str, Mapping[str, Any]]] = [
        (path or "settings", {} if path is None else read_mapping(path))
    ]
    given += [(f"--set {text}", _override(text)) for text in overrides] + [("settings", changes)]
    layers, renamed = zip(*(with_current_names(layer) for _, layer in given), strict=True)
    for (source, _), former in zip(given, renamed, strict=True):
        warn_former(source, former)
    named = [layer["dataset"] for layer in layers if isinstance(layer.get("dataset"), str)]
    start = Config(dataset=named[-1]) if named else Config()
    settings: dict[str, Any] = start.model_dump(mode="json")
    if isinstance(layers[0].get("base_models"), dict):
        settings["base_models"] = {}
    known = {
        name: model.model_dump(mode="json")
        for name, model in base_models_of(MODEL_DEFAULTS).items()
    }
    for layer in layers:
        _merge(settings, layer, known)

    def place(key: Sequence[str | int]) -> str:
        """``path:line: `` of a setting that the file sets, else an empty string."""
        if path is None or any(_sets(layer, key) for layer in layers[1:]):
            return ""
        former = former_key(".".join(map(str, key)))
        line = line_of(path, former.split(".") if former in renamed[0] else key)
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
    if len(key) > LONGEST_KEY:
        raise ConfigError(f"--set {key[:LONGEST_KEY]}...: no setting has a name that long")
    nested: dict[str, Any] = _nested(key, read_yaml(value, f"--set {key}", lines=False))
    return nested


def change_config(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return `config` with the settings in `changes`, by dotted name, replaced.

    Raises:
        ConfigError: a key is unknown or a value is invalid.

    Example:
        >>> change_config(Config(), {"adapt.steps": 3}).adapt.steps
        3
    """
    settings = config.model_dump(mode="json")
    for key, value in changes.items():
        _merge(settings, _nested(current_key(key), value), {})
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
    """Whether `layer` sets the setting, or a section that contains it."""
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
    """Update `settings` with `given`, section by section."""
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
    """The first problem in one line; for an unknown key, with the nearest valid one."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        section = _section(location[:-1])
        return f"{key}: unknown setting; {nearest(location[-1], section.model_fields)}"
    if first["type"] == "literal_error":
        valid = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        return f"{key}: {shown(first['input'])} is not known; {nearest(str(first['input']), valid)}"
    problem = first["msg"].removeprefix("Value error, ")
    return f"{key or 'config'}: {problem} (got {shown(first['input'])})"


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

"""From the arguments of :class:`~metaselector.api.model.MetaSelector` to all settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import PydanticSerializationError

from metaselector.common.errors import ConfigError
from metaselector.config import Config, load_config
from metaselector.data.own.frame import plain


def make_config(
    dataset: str | None,
    /,
    *,
    base_models: Sequence[str] | Mapping[str, Mapping[str, Any]] | None,
    seed: int,
    config: Config | Path | str | None,
    allow_code: bool,
    **settings: Any,
) -> Config:
    """All settings: the base settings `config`, overridden by `settings`, then by `base_models`.

    Raises:
        ConfigError: a setting is unknown, or its value invalid.
    """
    chosen = _checked(plain(base_models))
    changes: dict[str, Any] = {**plain(settings), "seeds": [plain(seed)]}
    if dataset is not None:
        changes["dataset"] = dataset
    file = None
    if isinstance(config, Config):
        start = config.model_dump(mode="json")
        chosen = list(start["base_models"]) if chosen is None else chosen
        changes = _laid_over(start, changes)
    elif config is not None:
        file = Path(config)
    if chosen is None:
        return _writable(load_config(file, changes=changes, allow_code=allow_code))
    models = dict(changes.get("base_models", {}))
    given = chosen if isinstance(chosen, Mapping) else {name: {} for name in chosen}
    changes["base_models"] = {name: {**models.get(name, {}), **given[name]} for name in given}
    made = load_config(file, changes=changes, allow_code=allow_code)
    models = {name: made.base_models[name] for name in given}
    return _writable(made.model_copy(update={"base_models": models}))


def _checked(chosen: Any) -> Any:
    if isinstance(chosen, str):
        raise ConfigError(f"base_models: pass a list, ['{chosen}']")
    if isinstance(chosen, Mapping):
        chosen = {name: {} if one is None else one for name, one in chosen.items()}
        wrong = [name for name, one in chosen.items() if not isinstance(one, Mapping)]
        if wrong:
            raise ConfigError(f"base_models.{wrong[0]}: pass a mapping of settings, or None")
    elif not isinstance(chosen, list | None):
        raise ConfigError("base_models: pass a list of names, or a mapping of settings by name")
    return chosen


def _writable(config: Config) -> Config:
    """Check that `config` can be saved as YAML, and return it.

    Raises:
        ConfigError: a plug-in's option has a type that YAML does not support.
    """
    try:
        yaml.safe_dump(config.model_dump(mode="json"))
    except (PydanticSerializationError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"settings: {reason}; use numbers, text, lists and mappings") from error
    return config


def _laid_over(start: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Override `start` with `changes`, section by section."""
    merged = dict(start)
    for key, value in changes.items():
        inner = merged.get(key)
        both = isinstance(inner, dict) and isinstance(value, Mapping)
        merged[key] = _laid_over(inner, value) if both and inner is not None else value
    return merged

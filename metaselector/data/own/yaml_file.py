"""Load a user's YAML file into a model, with one-line errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from metaselector.common.errors import ConfigError, nearest
from metaselector.common.yaml_file import read_mapping, shown

CHANGE_ME = "CHANGE_ME"
"""Placeholder in a draft where nothing could be guessed."""


class SchemaSection(BaseModel):
    """A mapping in the file; an unknown key is an error that states the nearest valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            for key in given:
                if key not in cls.model_fields:
                    known = nearest(str(key), cls.model_fields)
                    raise ValueError(f"unknown key '{shown(key)}'; {known}")
        return given


Model = TypeVar("Model", bound=SchemaSection)


def load_yaml(path: Path, model: type[Model], defaults: Mapping[str, Any] = {}) -> Model:
    """Load the file at `path` as a `model`, with `defaults` for missing keys.

    Raises:
        ConfigError: the file cannot be read, is not valid YAML, repeats a key, has an unknown key
            or an invalid value, or still contains ``CHANGE_ME``.
    """
    given = read_mapping(path)
    for key in _unchanged(given):
        raise ConfigError(f"{path}: {key}: replace {CHANGE_ME}, as the comment beside it says")
    try:
        return model.model_validate({**defaults, **given})
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from error


def _unchanged(value: Any, key: str = "") -> Iterator[str]:
    """Yield the keys that still have the placeholder of a draft."""
    if value == CHANGE_ME:
        yield shown(key)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _unchanged(inner, f"{key}.{name}" if key else str(name))


def _explain(error: ValidationError) -> str:
    """The first problem in one line."""
    first = error.errors()[0]
    where = shown(".".join(str(part) for part in first["loc"] if not str(part).startswith("[")))
    prefix = f"{where}: " if where else ""
    kind, got = first["type"], f"(got {shown(repr(first['input']))})"
    if kind == "value_error":
        return prefix + first["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return f"{prefix}missing; add it"
    if kind == "string_type":
        return f"{prefix}should be text; put it in quotes {got}"
    if kind == "literal_error":
        options = str(first.get("ctx", {}).get("expected", ""))
        return f"{prefix}should be {options} {got}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{prefix}should be a mapping, such as {{key: value}} {got}"
    return f"{prefix}{first['msg']} {got}"

"""A YAML file that a user writes, as a model, with mistakes told in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from metaselector.errors import ConfigError, nearest

CHANGE_ME = "CHANGE_ME"
"""What stands in a drafted file where nothing could be guessed."""


class Section(BaseModel):
    """A mapping of the file; an unknown key is refused with the nearest valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            for key in given:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key '{key}'; {nearest(str(key), cls.model_fields)}")
        return given


Model = TypeVar("Model", bound=Section)


def load_yaml(path: Path, model: type[Model], defaults: Mapping[str, Any] = {}) -> Model:
    """The file at `path` as a `model`; `defaults` stand for keys that it does not have.

    Raises:
        ConfigError: the file cannot be read, is not valid YAML, repeats a key, has an unknown key
            or an impossible value, or still says ``CHANGE_ME`` somewhere.
    """
    given = _read(path)
    for key in _unchanged(given):
        raise ConfigError(f"{path}: {key}: replace {CHANGE_ME} by what the comment beside it asks")
    try:
        return model.model_validate({**defaults, **given})
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from error


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which takes the last of two equal keys, made to refuse them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"'{key.value}' is given twice; remove one of the two"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, Any]:
    try:
        given = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML ({error.problem})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid YAML ({problem})") from error
    if not isinstance(given, dict):
        found = "nothing" if given is None else type(given).__name__
        raise ConfigError(f"{path}: expected `key: value` lines, found {found}")
    return given


def _unchanged(value: Any, key: str = "") -> Iterator[str]:
    """The keys whose value is still the one of a draft."""
    if value == CHANGE_ME:
        yield key
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _unchanged(inner, f"{key}.{name}" if key else str(name))


def _explain(error: ValidationError) -> str:
    """The first problem in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "[key]")
    prefix = f"{where}: " if where else ""
    kind, got = first["type"], f"(got {first['input']!r})"
    if kind == "value_error":
        return prefix + first["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return f"{prefix}is missing; add it"
    if kind == "string_type":
        return f"{prefix}should be text; put it in quotes {got}"
    if kind == "literal_error":
        options = str(first.get("ctx", {}).get("expected", ""))
        return f"{prefix}should be {options} {got}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{prefix}should be a mapping, such as {{key: value}} {got}"
    return f"{prefix}{first['msg']} {got}"

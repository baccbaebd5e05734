"""Consent to run the Python code that settings name.

Built-in components, and plug-ins that the user installed or registered, need no consent.
``path/to/file.py:Class`` and ``package.module.Class`` run arbitrary code, and a settings file may
come from anybody, so a file may name such code only with the user's consent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metaselector.common.errors import ConfigError
from metaselector.config.plugins.from_file import is_in_file
from metaselector.config.plugins.from_package import is_dotted

ALLOW = "--allow-code (allow_code=True in Python)"


class CodeNotAllowed(ConfigError):
    """A file names code that the user has not allowed to run."""


class NamedCode(NamedTuple):
    """Code that a setting names.

    Attributes:
        key: the setting's dotted name.
        name: ``path/to/file.py:Class`` or ``package.module.Class``.
    """

    key: str
    name: str


def named_code(settings: Mapping[str, Any]) -> list[NamedCode]:
    """List the code named in `settings`, a complete configuration in plain values."""
    estimators = [
        f"base_models.{name}.{key}"
        for name, model in settings.get("base_models", {}).items()
        if model.get("estimator")
        for key in ("estimator", "options")
    ]

    def is_code(key: str, text: str) -> bool:
        of_estimator = any(key == start or key.startswith(f"{start}.") for start in estimators)
        return is_in_file(text) or (of_estimator and is_dotted(text))

    return [NamedCode(key, text) for key, text in _texts(settings) if is_code(key, text)]


def check_code(
    path: Path,
    settings: Mapping[str, Any],
    typed: Iterable[Any] = (),
) -> None:
    """Raise unless the user consented to all code that `settings` name.

    Args:
        path: the file that the settings come from.
        settings: a complete configuration in plain values.
        typed: values that the user entered directly; code named in them may run.

    Raises:
        CodeNotAllowed: states the file, the key and the code.
    """
    consented = {_resolved(text) for value in typed for _, text in _texts(value)}
    for key, name in named_code(settings):
        if _resolved(name) not in consented:
            raise CodeNotAllowed(
                f"{path}: {key} names Python code, {name}, which would run here; if you trust who "
                f"wrote it, add {ALLOW}"
            )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string in `value` with its dotted key; a list's entries share the list's key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, key)


def _resolved(name: str) -> str:
    """`name` with an absolute path, so that two names of one class in a file are equal."""
    path, colon, attribute = name.rpartition(":")
    if not colon or not is_in_file(name):
        return name
    return f"{Path(path).expanduser().resolve()}:{attribute}"

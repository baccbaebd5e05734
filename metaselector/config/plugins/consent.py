"""Python code that settings name, and whether it may run.

A name of a built-in thing or of a plug-in that is installed or registered runs what the user has
chosen to have. ``path/to/file.py:Class`` and ``package.module.Class`` run whatever they say, so
that a file with settings, which may be anybody's, needs the user's consent to name them.
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
    """A file names code that the user has not consented to."""


class NamedCode(NamedTuple):
    """A setting's dotted key, and the code that it names."""

    key: str
    name: str


def named_code(settings: Mapping[str, Any]) -> list[NamedCode]:
    """All code that `settings` name, which are a whole configuration in plain values."""
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
    """Refuse what `settings`, which come from the file at `path`, name without consent.

    Args:
        typed: values that the user gave otherwise; the code that they name may run.

    Raises:
        CodeNotAllowed: names the file, the key and the code.
    """
    consented = {_resolved(text) for value in typed for _, text in _texts(value)}
    for key, name in named_code(settings):
        if _resolved(name) not in consented:
            raise CodeNotAllowed(
                f"{path}: {key} names Python code, {name}, which would run here; if you trust who "
                f"wrote it, add {ALLOW}"
            )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in `value` with its dotted key; entries of a list have the key of the list."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, key)


def _resolved(name: str) -> str:
    """The same for two names of one class in a file."""
    path, colon, attribute = name.rpartition(":")
    if not colon or not is_in_file(name):
        return name
    return f"{Path(path).expanduser().resolve()}:{attribute}"

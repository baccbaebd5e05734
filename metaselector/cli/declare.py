"""How commands share options: each option is declared once, with the setting that it changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import typer

from metaselector.cli.completion import of_setting
from metaselector.cli.notes import noted

_RECEIVER = "options"
"""The parameter of a command that receives the values of its shared options."""


@dataclass(frozen=True)
class Options:
    """The values of a command's shared options.

    Attributes:
        settings: nested settings, as :func:`metaselector.config.load_config` takes them; only those
            on the command line.
        run: directory of the run; None for the default one.
        config: YAML file of settings.
        overrides: ``KEY=VALUE`` of each ``--set``.
        base_models: ``FILE.py:CLASS`` of each ``--base-model``.
        allow_code: whether files of settings may name code that the command line does not.
        resume: whether to continue with the run's own settings.
        quiet: whether to print no progress and no notes.
        shard_tables: whether workers share the rows of tables.
    """

    settings: Mapping[str, Any]
    run: Path | None = None
    config: Path | None = None
    overrides: list[str] | None = None
    base_models: list[str] | None = None
    allow_code: bool = False
    resume: bool = False
    quiet: bool = False
    shard_tables: bool = False


class SharedOption(NamedTuple):
    """An option as a parameter that typer reads, and the dotted name of the setting it changes."""

    parameter: inspect.Parameter
    key: str | None = None


def option(
    flag: str, kind: Any, *, name: str | None = None, default: Any = None, **typer_option: Any
) -> SharedOption:
    """Declare an option that changes no setting.

    Args:
        flag: its name on the command line, such as ``--run``.
        kind: the type of its value.
        name: its parameter's name, if the flag's does not do.
        default: its value when it is not given.
        typer_option: further arguments of :func:`typer.Option`.
    """
    parameter = inspect.Parameter(
        name or flag.removeprefix("--").replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, typer.Option(flag, **typer_option)],
    )
    return SharedOption(parameter)


def setting(key: str, flag: str, kind: Any, **typer_option: Any) -> SharedOption:
    """Declare an option that changes the setting with the dotted name `key` when it is given."""
    typer_option.setdefault("autocompletion", of_setting(key))
    return option(flag, kind, **typer_option)._replace(key=key)


def with_options(
    *listed: SharedOption | str,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add shared options to a command.

    The command receives :class:`Options` in its parameter ``options``, and any shared option that
    it has a parameter for.

    Args:
        listed: options in the order of ``--help``. A string places one of the command's own
            parameters; those that no string places come first.
    """
    shared = {entry.parameter.name: entry for entry in listed if isinstance(entry, SharedOption)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        received = inspect.signature(command).parameters
        own = {
            name: parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in received.items()
            if name != _RECEIVER and name not in shared
        }

        @wraps(command)
        def run(**values: Any) -> None:
            values[_RECEIVER] = given = _options(shared, values)
            with noted(quiet=given.quiet):
                command(**{name: values[name] for name in received})

        parameters = [
            *(parameter for name, parameter in own.items() if name not in listed),
            *(own[entry] if isinstance(entry, str) else entry.parameter for entry in listed),
        ]
        # typer reads both.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _options(shared: Mapping[str, SharedOption], values: Mapping[str, Any]) -> Options:
    settings: dict[str, Any] = {}
    for name, entry in shared.items():
        value = values[name]
        if entry.key is not None and value not in (None, []):
            *sections, last = entry.key.split(".")
            place = settings
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = str(value) if isinstance(value, Path) else value
    known = {field.name for field in fields(Options)} - {"settings"}
    return Options(settings, **{name: values[name] for name in shared if name in known})

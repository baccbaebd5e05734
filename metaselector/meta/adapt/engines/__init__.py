"""Engines by name, and how those that need a library import it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from metaselector.common.errors import ConfigError, UserError, nearest
from metaselector.meta.adapt.contract import Engine

ENGINES = {
    "func": "metaselector.meta.adapt.engines.func:FuncEngine",
    "higher": "metaselector.meta.adapt.engines.higher:HigherEngine",
    "learn2learn": "metaselector.meta.adapt.engines.learn2learn:Learn2learnEngine",
}


def make_engine(name: str) -> Engine:
    """Import the engine `name` with its library.

    Raises:
        ConfigError: there is no such engine.
        UserError: its library is not installed.

    Example:
        >>> type(make_engine("func")).__name__
        'FuncEngine'
    """
    if name not in ENGINES:
        raise ConfigError(f"unknown engine '{name}'; {nearest(name, ENGINES)}")
    module, attribute = ENGINES[name].split(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)()
    return engine


def import_library(name: str, install: str) -> Any:
    """Import a module of an optional library.

    Args:
        name: full name of the module.
        install: what installs the library.

    Raises:
        UserError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # higher 0.2.1 says `is 1`
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"adapt.engine={name.split('.')[0]}: there is no module {error.name}; install it with "
            f"{install}, or leave adapt.engine at func"
        ) from error


@contextmanager
def without_init(package: str) -> Iterator[None]:
    """Let modules of `package` be imported without running its ``__init__``.

    For a package whose ``__init__`` imports libraries that these modules do not need. When the
    context ends, all of its modules are removed from ``sys.modules``, so that a later import gets
    the complete package. A package that is already imported is left alone.
    """
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is None:  # imported already, or not installed
        yield
        return
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]

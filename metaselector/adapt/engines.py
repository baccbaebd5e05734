"""Engines by name."""

from __future__ import annotations

import importlib

from metaselector.adapt.engine import Engine
from metaselector.errors import ConfigError, nearest

ENGINES = {
    "func": "metaselector.adapt.func:FuncEngine",
    "higher": "metaselector.adapt.higher_engine:HigherEngine",
    "learn2learn": "metaselector.adapt.learn2learn_engine:Learn2learnEngine",
}


def make_engine(name: str) -> Engine:
    """The engine `name`; its library is imported only now.

    Raises:
        ConfigError: there is none; names the nearest.
        UserError: its library is not installed; says what installs it.
    """
    if name not in ENGINES:
        raise ConfigError(f"unknown engine '{name}'; {nearest(name, ENGINES)}")
    module, attribute = ENGINES[name].split(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)()
    return engine

"""The engines, by name: each adapts all users of a meta-batch and predicts their query rows.

Start with :mod:`~metaselector.meta.adapt.engines.func`, the default.
"""

from __future__ import annotations

import importlib

from metaselector.common.errors import ConfigError, nearest
from metaselector.meta.adapt.contract import Engine

ENGINES = {
    "func": "metaselector.meta.adapt.engines.func:FuncEngine",
    "higher": "metaselector.meta.adapt.engines.higher:HigherEngine",
    "learn2learn": "metaselector.meta.adapt.engines.learn2learn:Learn2learnEngine",
}


def make_engine(name: str) -> Engine:
    """The engine `name`; its library is imported only now.

    Raises:
        ConfigError: there is none; names the nearest.
        UserError: its library is not installed; says what installs it.

    Example:
        >>> type(make_engine("func")).__name__
        'FuncEngine'
    """
    if name not in ENGINES:
        raise ConfigError(f"unknown engine '{name}'; {nearest(name, ENGINES)}")
    module, attribute = ENGINES[name].split(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)()
    return engine

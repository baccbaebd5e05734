"""A class of an installed package, named ``package.module.Class``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

from metaselector.common.errors import ConfigError, nearest
from metaselector.config.plugins.from_file import is_in_file


def is_dotted(name: str) -> bool:
    """Whether `name` refers to a class in a package, rather than a plug-in or a file."""
    parts = name.split(".")
    return len(parts) > 1 and not is_in_file(name) and all(part.isidentifier() for part in parts)


def load_dotted(name: str) -> Any:
    """Import the class that `name` refers to.

    Raises:
        ConfigError: the package is not installed, has no such module or class (states the nearest
            name), or cannot be imported.
    """
    path, _, attribute = name.rpartition(".")
    module = _module(name, path)
    if not hasattr(module, attribute):
        classes = [key for key in dir(module) if inspect.isclass(getattr(module, key, None))]
        known = nearest(attribute, classes) if classes else "it has no classes"
        raise ConfigError(f"{name}: module {path} has no '{attribute}'; {known}")
    return getattr(module, attribute)


def _module(name: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{path}.".startswith(f"{missing}."):
            raise ConfigError(
                f"{name}: needs '{missing}', which is not installed; install it, such as with "
                f"`pip install {missing}`"
            ) from error
        parent, _, last = missing.rpartition(".")
        if not parent:
            raise ConfigError(
                f"{name}: no package '{missing}' is installed; install it, such as with "
                f"`pip install {missing}`, or correct the name"
            ) from error
        inside = getattr(importlib.import_module(parent), "__path__", [])
        modules = [module.name for module in pkgutil.iter_modules(inside)]
        known = nearest(last, modules) if modules else "it has none"
        raise ConfigError(f"{name}: {parent} has no module '{last}'; {known}") from error
    except Exception as error:  # whatever the package does when it is imported
        raise ConfigError(
            f"{name}: importing {path} fails ({type(error).__name__}: {error}); fix the package"
        ) from error

"""A class in a Python file, named ``path/to/file.py:Class``."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from metaselector.common.errors import ConfigError, nearest


def is_in_file(name: str) -> bool:
    """Whether `name` refers to a class in a file, rather than a plug-in."""
    return ".py:" in name or name.endswith(".py")


def file_digest(name: str) -> str:
    """SHA-256 of the file alone, not of what it imports.

    Raises:
        ConfigError: the file cannot be read.
    """
    return hashlib.sha256(_read(*_parts(name))).hexdigest()


def load_from_file(name: str, base: type | None = None) -> Any:
    """Load the class that `name` refers to.

    The file runs once per process, or again if it was edited. It may import installed packages,
    but not its neighbours, as it is not part of a package.

    Args:
        name: ``path/to/file.py:Class``.
        base: the required base class.

    Raises:
        ConfigError: the file is missing, has no such class, its class is not a subclass of `base`,
            or the file itself fails (with the line of the failure).
    """
    path, attribute = _parts(name)
    module = _module(path, _read(path, attribute))
    here = {
        key
        for key, value in vars(module).items()
        if inspect.isclass(value) and (base is None or issubclass(value, base))
    }
    if not hasattr(module, attribute):
        known = nearest(attribute, here) if here else "it has no suitable class"
        raise ConfigError(f"{path}: no class '{attribute}' in this file; {known}")
    found = getattr(module, attribute)
    if base is not None and not (inspect.isclass(found) and issubclass(found, base)):
        raise ConfigError(
            f"{path}: '{attribute}' is not a subclass of "
            f"{base.__module__.split('.')[0]}'s {base.__name__}"
        )
    return found


def _parts(name: str) -> tuple[Path, str]:
    path, colon, attribute = name.rpartition(":")
    if not colon or not attribute or not path.endswith(".py"):
        raise ConfigError(f"{name}: expected path/to/file.py:Class")
    return Path(path).expanduser(), attribute


def _read(path: Path, attribute: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the file of {attribute} ({error.strerror}; relative paths start "
            f"at {Path.cwd()})"
        ) from error


class _OfSource(SourceFileLoader):
    """Compiles the source that was read and digested, never an older ``__pycache__``."""

    source: bytes

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.source, self.path)


def _module(path: Path, source: bytes) -> ModuleType:
    """Load the file as a module, listed in ``sys.modules``, where dataclasses look it up."""
    key = hashlib.sha256(str(path.resolve()).encode() + source).hexdigest()[:16]
    name = f"metaselector_file_{key}"
    if name in sys.modules:
        return sys.modules[name]
    loader = _OfSource(name, str(path))
    loader.source = source
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        line = _line(error, path)
        raise ConfigError(
            f"{path}{line}: fails to load ({type(error).__name__}: {_message(error)})"
        ) from error
    return module


def _line(error: Exception, path: Path) -> str:
    """``:line`` of the file where the error occurred, or an empty string if unknown."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f":{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f":{lines[-1]}" if lines else ""


def _message(error: Exception) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(text.split())

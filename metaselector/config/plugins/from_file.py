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
    """Whether `name` is of a class in a file, rather than a name."""
    return ".py:" in name or name.endswith(".py")


def file_digest(name: str) -> str:
    """SHA-256 of the file; of that file only, not of what it imports.

    Raises:
        ConfigError: as :func:`load_from_file`, where the file cannot be read.
    """
    return hashlib.sha256(_read(*_parts(name))).hexdigest()


def load_from_file(name: str, base: type | None = None) -> Any:
    """The class; the file runs once in a process, unless it was edited meanwhile.

    The file may import what is installed. It is no part of a package, so that it cannot import its
    neighbours.

    Args:
        base: what the class must be a subclass of.

    Raises:
        ConfigError: no file, no such class in it, the wrong kind, or the file's own error, with the
            line where it happened.
    """
    path, attribute = _parts(name)
    module = _module(path, _read(path, attribute))
    here = {
        key
        for key, value in vars(module).items()
        if inspect.isclass(value) and (base is None or issubclass(value, base))
    }
    if not hasattr(module, attribute):
        known = nearest(attribute, here) if here else "it has none that would do"
        raise ConfigError(f"{path}: no class '{attribute}' in this file; {known}")
    found = getattr(module, attribute)
    if base is not None and not (inspect.isclass(found) and issubclass(found, base)):
        raise ConfigError(
            f"{path}: '{attribute}' is no {base.__module__.split('.')[0]} {base.__name__}; name a "
            "class that is a subclass of it"
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
            f"{path}: cannot be read ({error.strerror}); {attribute} is looked for there, as seen "
            f"from {Path.cwd()}"
        ) from error


class _OfSource(SourceFileLoader):
    """Compiles what was read, not an older ``__pycache__`` than what the digest is of."""

    source: bytes

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.source, self.path)


def _module(path: Path, source: bytes) -> ModuleType:
    """The file as a module, which dataclasses find in ``sys.modules``."""
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
    """``:line`` of the file where the error came up, if it is known."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f":{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f":{lines[-1]}" if lines else ""


def _message(error: Exception) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(text.split())

"""Importing the libraries that only some engines need."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from metaselector.common.errors import UserError


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

    For one that imports what the modules do not need. The package is registered as found, but not
    executed; when the context ends, all of its modules are forgotten again, so that a later import
    by someone else gets the package as it should be. One that is imported already stays as it is.
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

"""Registry of components by name: built in, from other packages, or in a Python file.

Each kind of component has an entry-point group. A package that declares
``mine = package.module:Class`` in the group provides ``mine``. ``path/to/file.py:Class`` names a
class in a file that need not be installed.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from metaselector.common.errors import ConfigError, nearest
from metaselector.config.plugins.from_file import file_digest, is_in_file, load_from_file

BUILT_IN = "built in"


class Plugin(NamedTuple):
    """One row of the list of plug-ins.

    Attributes:
        kind: such as "metric".
        name: as used in the settings.
        source: ``built in``, the package and its version, or ``this process``.
        summary: first line of its docstring, or why it cannot be loaded.
    """

    kind: str
    name: str
    source: str
    summary: str


@dataclass
class Plugins:
    """All components of one kind that settings can name.

    Attributes:
        kind: such as "metric", for messages.
        group: name of the entry-point group.
        built_in: by name, a component or its location, ``module:attribute``.
        registered: by name, components passed to :meth:`register`.

    Example:
        >>> metrics = Plugins("metric", "metaselector.metrics", {"largest": "builtins:max"})
        >>> metrics.load("largest")([1, 3, 2])
        3
        >>> metrics.register("smallest", min)
        >>> metrics.names()
        ['largest', 'smallest']
    """

    kind: str
    group: str
    built_in: Mapping[str, Any]
    registered: dict[str, Any] = field(default_factory=dict)

    def register(self, name: str, component: Any) -> None:
        """Make `component` available as `name` in this process.

        Raises:
            ConfigError: the name is taken.
        """
        if name in self.names():
            raise ConfigError(f"{self.kind} '{name}' already exists; choose another name")
        self.registered[name] = component

    def names(self) -> list[str]:
        """All names that :meth:`load` accepts, besides files."""
        return sorted({*self.built_in, *self.registered, *(p.name for p in self._offered())})

    def check(self, name: str) -> None:
        """Raise :class:`ConfigError` unless `name` is known or a file's, which stays unopened."""
        if name in self.built_in or is_in_file(name):
            return
        if name not in self.names():
            raise ConfigError(f"unknown {self.kind} '{name}'; {nearest(name, self.names())}")

    def load(self, name: str, base: type | None = None) -> Any:
        """Load the component called `name`.

        Args:
            name: a known name, or ``path/to/file.py:Class``.
            base: required base class of a class in a file or a package.

        Raises:
            ConfigError: the name is unknown (states the nearest), or its file or package fails to
                load.
        """
        self.check(name)
        if is_in_file(name):
            return load_from_file(name, base)
        if name in self.registered:
            return self.registered[name]
        if name in self.built_in:
            return load_target(self.built_in[name])
        return self._load_offered(name, base)

    def _load_offered(self, name: str, base: type | None) -> Any:
        points = [point for point in self._offered() if point.name == name]
        if len({point.value for point in points}) > 1:
            packages = " and ".join(_package(point) for point in points)
            raise ConfigError(f"{self.kind} '{name}' is provided by {packages}; uninstall one")
        where = f"{self.kind} '{name}': {points[0].value} of {_package(points[0])}"
        try:
            found = points[0].load()
        except Exception as error:  # whatever the package does when it is imported
            raise ConfigError(
                f"{where} fails to load ({type(error).__name__}: {error}); fix the package or "
                "uninstall it"
            ) from error
        if base is not None and not (inspect.isclass(found) and issubclass(found, base)):
            raise ConfigError(f"{where} is not a subclass of {base.__name__}; fix the package")
        return found

    def listing(self) -> list[Plugin]:
        """List all components, sorted by name, with a summary of each."""
        sources = {point.name: _package(point) for point in self._offered()}
        sources |= dict.fromkeys(self.registered, "this process")
        sources |= dict.fromkeys(self.built_in, BUILT_IN)
        return [
            Plugin(self.kind, name, source, self.summary(name))
            for name, source in sorted(sources.items())
        ]

    def summary(self, name: str) -> str:
        """First line of the component's docstring, or why it cannot be loaded."""
        try:
            found = self.load(name)
        except ConfigError as error:
            return f"cannot be loaded: {error}"
        described = found if inspect.isroutine(found) or inspect.isclass(found) else type(found)
        text = inspect.getdoc(described)
        return text.splitlines()[0] if text else ""

    def _offered(self) -> list[EntryPoint]:
        """Entry points except the built-in names, which are listed only if we are installed."""
        return [
            point for point in entry_points(group=self.group) if point.name not in self.built_in
        ]


def load_target(target: Any) -> Any:
    """Import ``module:attribute``; return any `target` that is not a string unchanged."""
    if not isinstance(target, str):
        return target
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def identity(name: str) -> str:
    """What a checkpoint records for a name: for a class in a file, the file's digest.

    So an edited file counts as a different model, and a moved file as the same model.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not is_in_file(name):
        return name
    return f"{name.rpartition(':')[2]} of a file with SHA-256 {file_digest(name)}"


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "a package"


def checked(kind: Plugins, name: str) -> str:
    """Return `name` if it is known, else raise the ValueError that pydantic expects."""
    try:
        kind.check(name)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return name

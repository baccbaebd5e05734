"""Things by name: those built in, those of other packages, and those in a Python file.

Every kind has an entry-point group. A package that declares ``mine = package.module:Class`` in it
offers ``mine``; ``path/to/file.py:Class`` names a class in a file, without installing anything.
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
    """One line of the list of plug-ins.

    Attributes:
        source: built in, the package and its version, the file, or this process.
        summary: first line of its docstring, or why it cannot be loaded.
    """

    kind: str
    name: str
    source: str
    summary: str


@dataclass
class Plugins:
    """Everything of one kind that can be named in the settings.

    Attributes:
        kind: what one is called in messages.
        group: of entry points.
        built_in: by name, where it is, ``module:attribute``, or the thing itself.
        registered: by name, what :meth:`register` was given.

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

    def register(self, name: str, thing: Any) -> None:
        """Make `thing` available as `name` in this process.

        Raises:
            ConfigError: the name is taken.
        """
        if name in self.names():
            raise ConfigError(f"a {self.kind} called '{name}' exists already; choose another name")
        self.registered[name] = thing

    def names(self) -> list[str]:
        """All that can be asked for by name."""
        return sorted({*self.built_in, *self.registered, *(p.name for p in self._offered())})

    def check(self, name: str) -> None:
        """Raise :class:`ConfigError` where there is no such thing; files are not opened."""
        if name in self.built_in or is_in_file(name):
            return
        if name not in self.names():
            raise ConfigError(f"unknown {self.kind} '{name}'; {nearest(name, self.names())}")

    def load(self, name: str, base: type | None = None) -> Any:
        """The thing behind `name`, or behind ``path/to/file.py:Class``.

        Args:
            base: what a class in a file or a package must be a subclass of.

        Raises:
            ConfigError: there is none (names the nearest), or its file or package fails to load.
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
            raise ConfigError(f"{self.kind} '{name}' is offered by {packages}; uninstall one")
        where = f"{self.kind} '{name}': {_package(points[0])} offers it as {points[0].value}, which"
        try:
            found = points[0].load()
        except Exception as error:  # whatever the package does when it is imported
            raise ConfigError(
                f"{where} fails to load ({type(error).__name__}: {error}); mend the package or "
                "uninstall it"
            ) from error
        if base is not None and not (inspect.isclass(found) and issubclass(found, base)):
            raise ConfigError(f"{where} is no subclass of {base.__name__}; mend the package")
        return found

    def listing(self) -> list[Plugin]:
        """All of them by name; what cannot be loaded says why."""
        sources = {point.name: _package(point) for point in self._offered()}
        sources |= dict.fromkeys(self.registered, "this process")
        sources |= dict.fromkeys(self.built_in, BUILT_IN)
        return [
            Plugin(self.kind, name, source, self.summary(name))
            for name, source in sorted(sources.items())
        ]

    def summary(self, name: str) -> str:
        """First line of the docstring of the thing, or why it cannot be loaded."""
        try:
            thing = self.load(name)
        except ConfigError as error:
            return f"cannot be loaded: {error}"
        described = thing if inspect.isroutine(thing) or inspect.isclass(thing) else type(thing)
        text = inspect.getdoc(described)
        return text.splitlines()[0] if text else ""

    def _offered(self) -> list[EntryPoint]:
        """Entry points but for the built-in ones, which are there only if we are installed."""
        return [
            point for point in entry_points(group=self.group) if point.name not in self.built_in
        ]


def load_target(target: Any) -> Any:
    """What ``module:attribute`` names; anything but a string is the thing itself."""
    if not isinstance(target, str):
        return target
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def identity(name: str) -> str:
    """What a checkpoint remembers of a name: of a class in a file, what the file says.

    An edited file is another model then, and one that has only moved is the same.

    Raises:
        ConfigError: there is no such file.
    """
    if not is_in_file(name):
        return name
    return f"{name.rpartition(':')[2]} of a file with SHA-256 {file_digest(name)}"


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "a package"


def checked(kind: Plugins, name: str) -> str:
    """`name`, if there is such a thing; pydantic takes no other error than a ValueError."""
    try:
        kind.check(name)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return name

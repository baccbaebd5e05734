"""Parameters of an estimator, as scikit-learn's tools read and change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from metaselector.common.errors import ConfigError


class Parameters:
    """The arguments of the constructor, which :func:`sklearn.base.clone` passes on.

    A subclass passes them to :meth:`_keep` as they were given.
    """

    _parameters: dict[str, Any]

    def _keep(self, **parameters: Any) -> None:
        self._parameters = parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor, by name.

        Args:
            deep: also each setting in a section that was given as a mapping, as
                ``<section>__<setting>``.
        """
        found = dict(self._parameters)
        return found | _inside(found) if deep else found

    def set_params(self, **parameters: Any) -> Self:
        """Change arguments of the constructor; the model must then be fitted again.

        Args:
            **parameters: by name; ``adapt__steps=3`` changes one setting of a section.

        Raises:
            ConfigError: a setting is unknown or its value invalid; nothing has changed then.
        """
        changed = dict(self._parameters)
        for name, value in parameters.items():
            _set(changed, name.split("__"), value)
        fresh = type(self)(**changed)
        self.__dict__.update(fresh.__dict__)
        return self


def _inside(parameters: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, section in parameters.items():
        if isinstance(section, Mapping):
            inner = {str(key): value for key, value in section.items()}
            found |= {f"{name}__{key}": v for key, v in (inner | _inside(inner)).items()}
    return found


def _set(parameters: dict[str, Any], path: list[str], value: Any) -> None:
    name, *inside = path
    if not inside:
        parameters[name] = value
        return
    section = parameters.get(name)
    if section is not None and not isinstance(section, Mapping):
        raise ConfigError(f"{name} is {section!r}, so it has no '{inside[0]}'; set {name} itself")
    copy = dict(section or {})
    _set(copy, inside, value)
    parameters[name] = copy

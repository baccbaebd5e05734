"""Former names of settings, which older files and checkpoints still use."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metaselector.common.errors import ConfigError, RenamedWarning

SECTIONS = {"teaching": "peer_learning"}
"""Current name of a section, by its former name."""
SETTINGS = {
    "selector": {"sees": "inputs", "uniform_share": "uniform_mixing"},
    "adapt": {"theta_rate": "inner_lr_theta", "phi_rate": "inner_lr_phi", "names": "parameters"},
    "meta_train": {
        "cut": "support_boundary",
        "theta_learning_rate": "outer_lr_theta",
        "phi_learning_rate": "outer_lr_phi",
        "alpha_learning_rate": "outer_lr_alpha",
    },
}
"""Current name of a setting, by current section name and former setting name."""


def with_current_names(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Rename nested `settings` to their current names; also return the former names found.

    Raises:
        ConfigError: a setting is given under both names.

    Example:
        >>> with_current_names({"adapt": {"steps": 2, "phi_rate": 0.5}})
        ({'adapt': {'steps': 2, 'inner_lr_phi': 0.5}}, ['adapt.phi_rate'])
    """
    former: list[str] = []
    found = _renamed(settings, SECTIONS, "", former)
    for section, names in SETTINGS.items():
        if isinstance(found.get(section), Mapping):
            found[section] = _renamed(found[section], names, f"{section}.", former)
    return found, former


def current_key(key: str) -> str:
    """A setting's current dotted name.

    Example:
        >>> current_key("adapt.theta_rate"), current_key("teaching.rounds")
        ('adapt.inner_lr_theta', 'peer_learning.rounds')
    """
    section, dot, rest = key.partition(".")
    return SECTIONS.get(section, section) + dot + SETTINGS.get(section, {}).get(rest, rest)


def former_key(key: str) -> str:
    """A setting's former dotted name, or `key` itself if it was never renamed.

    Example:
        >>> former_key("adapt.inner_lr_theta"), former_key("adapt.steps")
        ('adapt.theta_rate', 'adapt.steps')
    """
    section, dot, rest = key.partition(".")
    of_section = _inverse(SETTINGS.get(section, {}))
    return _inverse(SECTIONS).get(section, section) + dot + of_section.get(rest, rest)


def warn_former(source: Path | str, former: Iterable[str]) -> None:
    """Warn that `source` uses former names of settings."""
    named = ", ".join(f"{key} is now {current_key(key)}" for key in former)
    if named:
        warnings.warn(f"{source}: settings were renamed: {named}", RenamedWarning, stacklevel=3)


def _renamed(
    given: Mapping[str, Any], names: Mapping[str, str], prefix: str, former: list[str]
) -> dict[str, Any]:
    for old, new in names.items():
        if old in given and new in given:
            raise ConfigError(
                f"{prefix}{old}: former name of {prefix}{new}, which is also set; remove one"
            )
    former += [prefix + key for key in given if key in names]
    return {names.get(key, key): value for key, value in given.items()}


def _inverse(names: Mapping[str, str]) -> dict[str, str]:
    return {new: old for old, new in names.items()}

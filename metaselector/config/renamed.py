"""Settings that had other names once, which older files and checkpoints still use."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metaselector.common.errors import ConfigError, RenamedWarning

SECTIONS = {"teaching": "peer_learning"}
"""Former names of sections, and the names they have now."""
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
"""By section, former names of its settings, and the names they have now."""


def with_current_names(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Nested `settings` under their current names, and the former dotted names found in them.

    Raises:
        ConfigError: a setting is there under both of its names.

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
    """The dotted name that a setting has now.

    Example:
        >>> current_key("adapt.theta_rate"), current_key("teaching.rounds")
        ('adapt.inner_lr_theta', 'peer_learning.rounds')
    """
    section, dot, rest = key.partition(".")
    return SECTIONS.get(section, section) + dot + SETTINGS.get(section, {}).get(rest, rest)


def former_key(key: str) -> str:
    """The dotted name that a setting had first.

    Example:
        >>> former_key("adapt.inner_lr_theta"), former_key("adapt.steps")
        ('adapt.theta_rate', 'adapt.steps')
    """
    section, dot, rest = key.partition(".")
    of_section = _inverse(SETTINGS.get(section, {}))
    return _inverse(SECTIONS).get(section, section) + dot + of_section.get(rest, rest)


def warn_former(source: Path | str, former: Iterable[str]) -> None:
    """Tell the user which settings in `source` have other names now."""
    named = ", ".join(f"{key} is now {current_key(key)}" for key in former)
    if named:
        warnings.warn(f"{source}: settings were renamed: {named}", RenamedWarning, stacklevel=3)


def _renamed(
    given: Mapping[str, Any], names: Mapping[str, str], prefix: str, former: list[str]
) -> dict[str, Any]:
    for old, new in names.items():
        if old in given and new in given:
            raise ConfigError(
                f"{prefix}{old}: the former name of {prefix}{new}, which is given too; keep one"
            )
    former += [prefix + key for key in given if key in names]
    return {names.get(key, key): value for key, value in given.items()}


def _inverse(names: Mapping[str, str]) -> dict[str, str]:
    return {new: old for old, new in names.items()}

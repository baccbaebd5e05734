"""The groups that tables and figures put models into, by name."""

from __future__ import annotations

from collections.abc import Iterable

from metaselector.config import TABLE_ROWS

SINGLE, COMBINATION, METASELECTOR, ORACLE = GROUPS = (
    "single models",
    "combinations",
    "MetaSelector",
    "oracles",
)
"""In the order in which they are shown."""


def group_of(model: str) -> str:
    """The group of a model; any name that is not one of ours is a single model."""
    if model.startswith("oracle-"):
        return ORACLE
    if model == "metaselector" or model.startswith("metaselector-"):
        return METASELECTOR
    return COMBINATION if model in TABLE_ROWS else SINGLE


def in_groups(models: Iterable[str]) -> list[str]:
    """Distinct models sorted by group, within a group in the order in which they first appear."""
    return sorted(dict.fromkeys(models), key=lambda model: GROUPS.index(group_of(model)))

"""Groups of models in tables and figures."""

from __future__ import annotations

from collections.abc import Iterable

from metaselector.config import TABLE_ROWS
from metaselector.evaluate.bounds import BOUNDS

SINGLE, COMBINATION, METASELECTOR, ORACLE = GROUPS = (
    "single models",
    "combinations",
    "MetaSelector",
    "oracles",
)
"""In display order."""


def group_of(model: str) -> str:
    """The group of a model; unknown names are single models."""
    if model.startswith("oracle-") or model in BOUNDS:
        return ORACLE
    if model == "metaselector" or model.startswith("metaselector-"):
        return METASELECTOR
    return COMBINATION if model in TABLE_ROWS else SINGLE


def in_groups(models: Iterable[str]) -> list[str]:
    """Distinct models sorted by group, and by first appearance within a group."""
    return sorted(dict.fromkeys(models), key=lambda model: GROUPS.index(group_of(model)))

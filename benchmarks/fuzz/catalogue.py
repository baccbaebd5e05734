"""All targets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.fuzz import (
    command_line,
    damage,
    kill,
    own_logs,
    preparation,
    public_data,
    rewritings,
    saved,
    settings,
)
from benchmarks.fuzz.target import Target

_MODULES = (
    own_logs,
    rewritings,
    preparation,
    public_data,
    settings,
    saved,
    command_line,
    damage,
    kill,
)


def catalogue(world: Path) -> Mapping[str, Target]:
    """All targets by name, given the folder that :func:`world.build` filled."""
    return {target.name: target for module in _MODULES for target in module.targets(world)}

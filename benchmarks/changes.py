"""The changes that an ablation file lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from metaselector.common.errors import ConfigError, UserError, nearest
from metaselector.common.yaml_file import read_mapping
from metaselector.data.splitting.protocol import WINDOWS, Window
from metaselector.meta.variants import LEARNED, Variant

SEPARATE = {"learn_on": "early", "test_with": "full"}
"""Keys that choose base models, rather than settings, with their defaults."""
CROSS_FITTED: Literal["cross-fitted"] = "cross-fitted"
"""Value of ``learn_on`` for cross-fitted base models, see :mod:`benchmarks.cross_fit`."""
UNCHANGED = "as in the table"


class Change(NamedTuple):
    """One line of the table.

    Attributes:
        group, name: names of the group and of the change.
        rows: rows of the table to train.
        settings: settings by dotted key.
        learn_on: base models to meta-train against, or :data:`CROSS_FITTED`.
        test_with: base models to test with.
    """

    group: str
    name: str
    rows: tuple[Variant, ...]
    settings: dict[str, Any]
    learn_on: Window | Literal["cross-fitted"] = "early"
    test_with: Window = "full"


def load_changes(path: Path) -> list[Change]:
    """Read the changes to make.

    Raises:
        ConfigError: a group has no ``rows`` or ``settings``, or names an unknown row or base model.
    """
    changes = []
    for group, described in read_mapping(path).items():
        if not isinstance(described, dict) or described.keys() != {"rows", "settings"}:
            raise ConfigError(f"{path}: {group}: needs the keys rows and settings, and no others")
        for row in described["rows"]:
            if row not in LEARNED:
                raise ConfigError(f"{path}: {group}: unknown row '{row}'; {nearest(row, LEARNED)}")
        for name, settings in described["settings"].items():
            chosen = {key: settings.get(key, default) for key, default in SEPARATE.items()}
            for key, window in chosen.items():
                possible = (*WINDOWS, CROSS_FITTED) if key == "learn_on" else WINDOWS
                if window not in possible:
                    known = nearest(str(window), possible)
                    raise ConfigError(
                        f"{path}: {group}: {name}: {key}: unknown value '{window}'; {known}"
                    )
            rest = {key: value for key, value in settings.items() if key not in SEPARATE}
            changes.append(Change(group, name, tuple(described["rows"]), rest, **chosen))
    return changes


def choose_changes(listed: list[Change], only: list[str] | None) -> list[Change]:
    """The changes named in `only`; all if it is empty.

    Raises:
        UserError: no change has one of these names.
    """
    names = [change.name for change in listed]
    for name in only or ():
        if name not in names:
            raise UserError(f"--only: unknown change '{name}'; {nearest(name, names)}")
    return [change for change in listed if not only or change.name in only]

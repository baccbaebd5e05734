"""The changes that ablations make, as a file lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from metaselector.common.errors import ConfigError, UserError, nearest
from metaselector.common.yaml_file import read_mapping
from metaselector.data.splitting.protocol import WINDOWS, Window
from metaselector.meta.variants import LEARNED, Variant

SEPARATE = {"learn_on": "early", "test_with": "full"}
"""Keys that are no settings, and which base models they choose by default."""
CROSS_FITTED: Literal["cross-fitted"] = "cross-fitted"
"""What ``learn_on`` may be beside the base models there are; see :mod:`benchmarks.cross_fit`."""
UNCHANGED = "as in the table"


class Change(NamedTuple):
    """One line of the table.

    Attributes:
        group, name: what it is called.
        rows: which rows are trained.
        settings: dotted settings.
        learn_on: the base models that are meta-trained against, or :data:`CROSS_FITTED`.
        test_with: the base models that are tested.
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
        ConfigError: a group without ``rows`` and ``settings``, an unknown row or base models.
    """
    changes = []
    for group, described in read_mapping(path).items():
        if not isinstance(described, dict) or described.keys() != {"rows", "settings"}:
            raise ConfigError(f"{path}: {group}: give it rows and settings, and nothing else")
        for row in described["rows"]:
            if row not in LEARNED:
                raise ConfigError(f"{path}: {group}: no such row '{row}'; {nearest(row, LEARNED)}")
        for name, settings in described["settings"].items():
            chosen = {key: settings.get(key, default) for key, default in SEPARATE.items()}
            for key, window in chosen.items():
                possible = (*WINDOWS, CROSS_FITTED) if key == "learn_on" else WINDOWS
                if window not in possible:
                    known = nearest(str(window), possible)
                    raise ConfigError(f"{path}: {group}: {name}: {key}: no '{window}'; {known}")
            rest = {key: value for key, value in settings.items() if key not in SEPARATE}
            changes.append(Change(group, name, tuple(described["rows"]), rest, **chosen))
    return changes


def choose_changes(listed: list[Change], only: list[str] | None) -> list[Change]:
    """Those with a name in `only`; all where it is empty.

    Raises:
        UserError: a name is none of theirs.
    """
    names = [change.name for change in listed]
    for name in only or ():
        if name not in names:
            raise UserError(f"--only: there is no change '{name}'; {nearest(name, names)}")
    return [change for change in listed if not only or change.name in only]

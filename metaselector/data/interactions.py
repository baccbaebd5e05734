"""The interaction table: what every reader returns and encoding takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class InteractionTable:
    """Raw interactions with what is known of their users and items.

    Attributes:
        name: data-set name, for example ``"movielens-100k"``.
        source: the file the interactions were read from, for error messages.
        interactions: one row per rating in the order of the file: ``user`` and ``item`` (strings),
            ``rating`` (float64), ``timestamp`` (int64, seconds since 1970 UTC), ``line`` (int64,
            1-based line in `source`). The index is the rating's position in the file, counted from
            0, also where rows were dropped.
        users: one row per user, indexed by the user string: ``age``, ``gender``, ``occupation``
            (strings; empty where unknown).
        items: one row per item, indexed by the item string: ``title``, ``release_year`` (strings;
            empty where unknown), ``genres`` (tuple of strings).
    """

    name: str
    source: Path
    interactions: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame

    def __len__(self) -> int:
        return len(self.interactions)

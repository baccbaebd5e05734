"""The interaction table: what every reader returns and encoding takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class InteractionTable:
    """Raw interactions with what is known of their users and items.

    A data set has the columns of `users` and `items` that it knows anything of, and encoding makes
    a field of each but the title.

    Attributes:
        name: data-set name, for example ``"movielens-100k"``.
        source: the file the interactions were read from, for error messages.
        interactions: one row per rating in the order of the file: ``user`` and ``item`` (strings),
            ``rating`` (float64), ``timestamp`` (int64, seconds since 1970 UTC), ``line`` (int64,
            1-based line in `source`). The index is the rating's position in the file, counted from
            0, also where rows were dropped.
        users: one row per user, indexed by the user string; any of ``age``, ``gender``,
            ``occupation`` (strings; empty where unknown).
        items: one row per item, indexed by the item string; any of ``title``, ``release_year``
            (strings; empty where unknown), ``genres``, ``categories`` (tuples of strings).
        repairs: what was mended while reading, one counted sentence each.
    """

    name: str
    source: Path
    interactions: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame
    repairs: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.interactions)


def nothing_known(index: Literal["user", "item"]) -> pd.DataFrame:
    """The `users` or `items` of a data set that says nothing of them."""
    return pd.DataFrame(index=pd.Index([], dtype="str", name=index))


def without_repeats(table: InteractionTable) -> InteractionTable:
    """Drop the rows whose user, item and time an earlier row of the file has, and count them.

    Such rows are one interaction that was recorded more than once. The first of them is kept,
    whatever the ratings of the others.
    """
    rows = table.interactions
    user, _ = pd.factorize(rows["user"])
    item, items = pd.factorize(rows["item"])
    # Numbers sort far quicker than rows hash, and mostly no user meets an item twice.
    pair = user * len(items) + item
    ordered = np.sort(pair)
    again = np.flatnonzero(np.isin(pair, ordered[1:][ordered[1:] == ordered[:-1]]))
    keys = pd.DataFrame({"pair": pair[again], "time": rows["timestamp"].to_numpy()[again]})
    repeated = np.zeros(len(rows), dtype=bool)
    repeated[again] = keys.duplicated().to_numpy()
    count = int(repeated.sum())
    if not count:
        return table
    first = int(rows["line"].to_numpy()[repeated.argmax()])
    said = "1 row repeats" if count == 1 else f"{count:,} rows repeat"
    said += f" the user, item and time of an earlier row (the first in line {first}); dropped"
    return replace(
        table, interactions=rows[~repeated], repairs=(*table.repairs, f"{table.source}: {said}")
    )

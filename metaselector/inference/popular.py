"""Candidates for users who name none: popular items that they have not met."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from metaselector.common.errors import DataError
from metaselector.data.interactions import Ints
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_rows import RawRows, interactions_of
from metaselector.data.raw.columns import RawBlock

POPULAR = Path("popular items")
"""Name of these candidates in messages."""


def popular_items(encoder: FittedEncoder, history: RawRows, items: int) -> RawRows:
    """For each user of the history, the `items` most frequent items that they have no row with.

    A candidate's time is the last one of the history. Columns that describe items, that is, columns
    with one value per item, have the item's value; all others that of the user's last row.

    Args:
        encoder: encoder of the model's data set.
        history: labelled rows.
        items: maximum candidates per user.

    Returns:
        candidates by user in order of first occurrence, then by frequency.

    Raises:
        DataError: the data has no items, the history has no rows, or a value in it is wrong.
    """
    if encoder.rows.tabular:
        raise DataError(history.source, "this data has no items; pass --candidates")
    blocks = list(interactions_of(encoder, history, labelled=True))
    if not blocks:
        raise DataError(history.source, "has no rows; pass --candidates")
    users, user_names = _codes([block.user for block in blocks])
    things, item_names = _codes([block.item for block in blocks])
    times = np.concatenate([block.timestamps for block in blocks])
    wanted_user, wanted_item = _unmet(users, things, len(user_names), len(item_names), items)
    of_user = _last(users, times)[wanted_user]
    of_item = _last(things, times)[wanted_item]
    rows = encoder.rows
    labels = {rows.column(task.name) for task in rows.tasks}
    columns = {}
    for name in history.blocks[0].columns:
        if name in labels:
            continue
        values = pa.chunked_array([pa.array(block.columns[name]) for block in history.blocks])
        values = values.unify_dictionaries().combine_chunks()
        if name == rows.column("timestamp"):
            chosen = np.full(len(of_user), int(times.argmax()))
        elif name != rows.column("user") and (
            name == rows.column("item") or _fixed(values, things)
        ):
            chosen = of_item
        else:
            chosen = of_user
        columns[name] = values.take(pa.array(chosen))
    lines = np.arange(1, len(of_user) + 1)
    return RawRows(
        POPULAR, tuple(columns), (RawBlock(POPULAR, lines, columns),) if len(lines) else ()
    )


def _codes(parts: list[pa.Array]) -> tuple[Ints, list[str]]:
    """A code for each name, in order of first occurrence, and the names."""
    found = pd.factorize(
        np.array([name for part in parts for name in part.to_pylist()], dtype=object)
    )
    return found[0].astype(np.int64), list(found[1])


def _last(codes: Ints, times: Ints) -> Ints:
    """The latest row of each code; of several at one time the last."""
    order = np.lexsort((np.arange(len(codes)), times))
    found = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    found[codes[order]] = order  # the last one stays
    return found


def _fixed(values: pa.Array, items: Ints) -> bool:
    """Whether the rows of each item have one value."""
    cells = pd.factorize(np.array([str(value) for value in values.to_pylist()], dtype=object))[0]
    pairs = pd.DataFrame({"item": items, "value": cells}).drop_duplicates()
    return len(pairs) == len(np.unique(items))


def _unmet(users: Ints, items: Ints, n_users: int, n_items: int, wanted: int) -> tuple[Ints, Ints]:
    """User and item of each candidate."""
    counts = np.bincount(items, minlength=n_items)
    popular = np.argsort(-counts, kind="stable")
    met = pd.Series(items).groupby(users).agg(set)
    pairs = []
    for user in range(n_users):
        left = wanted
        for item in popular.tolist():
            if not left:
                break
            if item not in met[user]:
                pairs.append((user, item))
                left -= 1
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]

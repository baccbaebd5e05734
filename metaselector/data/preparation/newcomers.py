"""What given rows say of users and items that the data set does not describe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from metaselector.data.own.log_columns import Noticed, converted
from metaselector.data.preparation.codes import occurring
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_rows import described
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.raw.columns import checked, keys


def check_user_features(encoder: FittedEncoder, given: Sequence[RawRows]) -> None:
    """Check the values of all features of users, if any user is new.

    Raises:
        DataError: a value is wrong; the message states row and column.
    """
    rows, column = encoder.rows, encoder.rows.column("user")
    if not rows.user_features or next(_new(encoder.users, given, column), None) is None:
        return
    for feature in rows.user_features:
        for block in (block for part in given for block in part.blocks):
            if rows.column(feature.name) in block.columns:
                converted(block, rows.column(feature.name), feature, Noticed())


def with_new_items(encoder: FittedEncoder, given: Sequence[RawRows]) -> FittedEncoder:
    """The encoder that knows the features of the new items in `given` too.

    With it, some of the rows are encoded as if the others were there: a new item has the features
    of its first row. Memory holds the new items.

    Raises:
        DataError: a value is wrong; the message states row and column.
    """
    rows, column = encoder.rows, encoder.rows.column("item")
    if rows.tabular or not rows.item_features:
        return encoder
    new = dict.fromkeys(_new(encoder.items, given, column))
    if not new:
        return encoder
    found = described(encoder.items, rows.item_features, new, column, given, rows.column)
    return replace(encoder, items=pd.concat([encoder.items, found]))


def _new(known: pd.DataFrame, given: Sequence[RawRows], column: str) -> Iterator[str]:
    """Names in `column` that `known` does not describe, in order, repeated in other blocks."""
    for block in (block for part in given for block in part.blocks):
        names, _ = occurring(checked(block, column, keys))
        new = known.index.get_indexer(names.to_pylist()) < 0
        yield from (name for name, is_new in zip(names.to_pylist(), new, strict=True) if is_new)

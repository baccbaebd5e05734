"""Ids and words that a model has never seen, in rows that a user brings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from metaselector.common.errors import DataError, UnknownWarning
from metaselector.data.interactions import Feature
from metaselector.data.preparation.codes import occurring
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_rows import RawRows
from metaselector.data.raw.columns import RawBlock, checked, keys, words
from metaselector.data.raw.values import shown

_SHOWN = 3
"""Most examples in a message."""


class Unknown(NamedTuple):
    """What a model does not know of a column.

    Attributes:
        column: its name.
        what: ``users``, ``items`` or ``words``.
        found: number of distinct ones.
        strangers: those of them that take the field's unseen word, as they first occur.
        usual: whether nothing need be wrong where all of them are strangers, as with new users.
        known: what the model knows, in order.
    """

    column: str
    what: str
    found: int
    strangers: list[str]
    usual: bool
    known: Collection[str]


def find_unknown(encoder: FittedEncoder, given: RawRows, *, allow: bool = False) -> list[Unknown]:
    """The users, items and words of some rows that a model has never seen, by column.

    Args:
        known: of the model.
        given: rows with all columns that rows are made of.
        allow: go on where all items, or all words of a feature of the rows, are unknown.

    Raises:
        DataError: they are, and `allow` is not set; or an id is missing.
    """
    unknown = [one for one in unknown_words(encoder, given) if one.strangers]
    for one in unknown:
        if len(one.strangers) == one.found and not (one.usual or allow):
            problem = (
                f"the model knows none of the {one.what} ({_listed(one.strangers)}); write them as "
                f"in the data that it was trained on ({_listed(one.known)}), or let it take all of "
                "them for unseen ones with --allow-unknown (in Python allow_unknown=True)"
            )
            raise DataError(given.source, problem, column=one.column)
    return unknown


def warn_unknown(source: Path | str, unknown: Iterable[Unknown]) -> None:
    """Issue an :class:`UnknownWarning` of what :func:`find_unknown` found, if it found anything."""
    if told := "; ".join(map(_told, unknown)):
        warnings.warn(f"{source}: unknown to the model: {told}", UnknownWarning, stacklevel=3)


def warn_unknown_items(encoder: FittedEncoder, source: Path | str, items: Iterable[str]) -> None:
    """The same of some items, which may repeat, of data without tabular rows."""
    compared = _compared(encoder, "item", dict.fromkeys(items), "items")
    warn_unknown(source, (one for one in compared if one.strangers))


def warn_apart(encoder: FittedEncoder, history: RawRows, candidates: RawRows) -> None:
    """Issue one where a history is given, but of none of those who have candidates."""
    column = encoder.rows.column("user")
    past, asked = (_distinct(part.blocks, column, keys) for part in (history, candidates))
    if past and asked and not past.keys() & asked.keys():
        text = (
            f"{history.source} has no row of any user of {candidates.source}, such as "
            f"{_listed(asked)}, but of {_listed(past)}: nobody is adapted to"
        )
        warnings.warn(text, UnknownWarning, stacklevel=3)


def unknown_words(encoder: FittedEncoder, given: RawRows) -> Iterator[Unknown]:
    """What the model does not know of each column that holds any ids or words.

    Of data whose test is on new users, users are left out: to be unknown is what they are for.
    """
    rows = encoder.rows
    names = ("user",) if rows.tabular else ("user", "item")
    for name in names[encoder.schema.protocol == "cold" :]:
        found = _distinct(given.blocks, rows.column(name), keys)
        yield from _compared(encoder, name, found, f"{name}s", usual=name == "user")
    for feature in _of_words(rows.features):
        found = _words(given.blocks, rows.column(feature.name), feature)
        yield from _compared(encoder, feature.name, found, "words")
    sides = ((rows.user_features, encoder.users), (rows.item_features, encoder.items))
    for name, (features, described) in zip(names, sides, strict=False):
        for feature in _of_words(features):
            column = rows.column(feature.name)
            if column in given.names:  # read of new users and items only
                new = _undescribed(given, rows.column(name), described, column)
                found = _words(new, column, feature)
                yield from _compared(encoder, feature.name, found, "words", usual=True)


def _compared(
    encoder: FittedEncoder, field: str, found: Collection[str], what: str, *, usual: bool = False
) -> Iterator[Unknown]:
    """`found` beside the vocabulary of a field; nothing where nothing was found."""
    vocabulary = encoder.vocabularies[field]
    if found:
        strangers = [word for word in found if word not in vocabulary]
        yield Unknown(encoder.rows.column(field), what, len(found), strangers, usual, vocabulary)


def _of_words(features: Collection[Feature]) -> list[Feature]:
    return [feature for feature in features if feature.kind != "numeric"]


def _words(blocks: Iterable[RawBlock], column: str, feature: Feature) -> dict[str, None]:
    """The distinct words of a feature as they first occur."""
    found = _distinct(blocks, column, lambda array: words(array, feature.separator))
    if feature.kind == "multivalued":
        parts = (text.split(feature.separator) for text in found)
        found = dict.fromkeys(word for part in parts for word in part if word)
    return found


def _distinct(
    blocks: Iterable[RawBlock], column: str, check: Callable[[pa.Array], pa.Array]
) -> dict[str, None]:
    found: dict[str, None] = {}
    for block in blocks:
        entries, _ = occurring(checked(block, column, check))
        found |= dict.fromkeys(filter(None, entries.to_pylist()))
    return found


def _undescribed(
    given: RawRows, column: str, described: pd.DataFrame, feature: str
) -> Iterator[RawBlock]:
    """The feature of those whose ids, in `column`, are not in the index of `described`."""
    for block in given.blocks:
        entries, rows = occurring(checked(block, column, keys))
        new = described.index.get_indexer(entries.to_pylist())[rows] < 0
        only = block.columns[feature].filter(pa.array(new))
        yield RawBlock(block.path, block.lines[new], {feature: only})


def _told(unknown: Unknown) -> str:
    of = f" of '{unknown.column}'" if unknown.what == "words" else ""
    strangers = unknown.strangers
    return f"{len(strangers):,} of {unknown.found:,} {unknown.what}{of} ({_listed(strangers)})"


def _listed(entries: Collection[str]) -> str:
    return ", ".join([*map(shown, islice(entries, _SHOWN)), *["..."] * (len(entries) > _SHOWN)])

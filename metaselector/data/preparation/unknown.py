"""Detect ids and words in given rows that the model has never seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from metaselector.common.errors import DataError, UnknownWarning
from metaselector.data.interactions import Feature
from metaselector.data.preparation.codes import occurring
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.raw.columns import RawBlock, checked, keys, words
from metaselector.data.raw.values import shown

SHOWN = 3
"""Maximum examples in a message."""


class Unknown(NamedTuple):
    """Entries of a column that the model does not know.

    Attributes:
        column: name of the column.
        what: ``users``, ``items`` or ``words``.
        found: number of distinct entries.
        strangers: unknown entries, in order of first occurrence; they take the field's unseen
            word.
        usual: whether it is normal that all entries are unknown, as for new users.
        known: the entries that the model knows, in order.
    """

    column: str
    what: str
    found: int
    strangers: Collection[str]
    usual: bool
    known: Collection[str]


@dataclass(frozen=True)
class FirstFew(Collection[str]):
    """Names of which only the first are in memory, as messages show no more.

    Attributes:
        first: the first :data:`SHOWN` and one more, or all if there are fewer.
        count: how many there are.
    """

    first: Sequence[str]
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[str]:
        """Iterate over the first ones."""
        return iter(self.first)

    def __contains__(self, name: object) -> bool:
        """Whether the name is one of the first."""
        return name in self.first


def find_unknown(
    encoder: FittedEncoder,
    given: RawRows,
    *,
    allow: bool = False,
    users: Callable[[], Unknown] | None = None,
) -> list[Unknown]:
    """Find the users, items and words that the model has never seen, by column.

    Args:
        encoder: encoder of the model.
        given: rows with all required columns.
        allow: accept a column in which all items, or all words, are unknown.
        users: finds unknown users in place of a search in memory.

    Raises:
        DataError: a column has only unknown entries and `allow` is not set, or an id is missing.
    """
    unknown = [one for one in unknown_words(encoder, given, users) if one.strangers]
    for one in unknown:
        if len(one.strangers) == one.found and not (one.usual or allow):
            problem = (
                f"the model knows none of the {one.what} ({_listed(one.strangers)}); write them as "
                f"in its training data ({_listed(one.known)}), or treat all of them as unseen with "
                "--allow-unknown (allow_unknown=True in Python)"
            )
            raise DataError(given.source, problem, column=one.column)
    return unknown


def warn_unknown(source: Path | str, unknown: Iterable[Unknown]) -> None:
    """Issue an :class:`UnknownWarning` that lists what :func:`find_unknown` found, if anything."""
    if told := "; ".join(map(_told, unknown)):
        warnings.warn(f"{source}: unknown to the model: {told}", UnknownWarning, stacklevel=3)


def warn_unknown_items(encoder: FittedEncoder, source: Path | str, items: Iterable[str]) -> None:
    """Issue an :class:`UnknownWarning` for unknown `items`, which may repeat."""
    compared = _compared(encoder, "item", dict.fromkeys(items), "items")
    warn_unknown(source, (one for one in compared if one.strangers))


def warn_apart(encoder: FittedEncoder, history: RawRows, candidates: RawRows) -> None:
    """Issue an :class:`UnknownWarning` if no user with candidates has a row in `history`."""
    column = encoder.rows.column("user")
    past, asked = (_distinct(part.blocks, column, keys) for part in (history, candidates))
    if past and asked and not past.keys() & asked.keys():
        warn_of_others(history.source, past, candidates.source, asked)


def warn_of_others(
    history: Path, past: Collection[str], candidates: Path, asked: Collection[str]
) -> None:
    """Issue the :class:`UnknownWarning` of :func:`warn_apart` for users `past` and `asked`."""
    text = (
        f"no user of {candidates} ({_listed(asked)}) has a row in {history} (it "
        f"has {_listed(past)}): predictions are not adapted to any user"
    )
    warnings.warn(text, UnknownWarning, stacklevel=4)


def unknown_words(
    encoder: FittedEncoder, given: RawRows, users: Callable[[], Unknown] | None = None
) -> Iterator[Unknown]:
    """Yield the unknown entries of each column that holds ids or words.

    Users are left out under the cold protocol, which expects new ones; `users` is as for
    :func:`find_unknown`.
    """
    rows = encoder.rows
    names = ("user",) if rows.tabular else ("user", "item")
    for name in names[encoder.schema.protocol == "cold" :]:
        if name == "user" and users is not None:
            yield users()
            continue
        found = _distinct(given.blocks, rows.column(name), keys)
        yield from _compared(encoder, name, found, f"{name}s", usual=name == "user")
    given_names = [one for one in rows.features if rows.column(one.name) in given.names]
    for feature in _of_words(given_names):
        found = _words(given.blocks, rows.column(feature.name), feature)
        yield from _compared(encoder, feature.name, found, "words")
    sides = ((rows.user_features, encoder.users), (rows.item_features, encoder.items))
    for name, (features, described) in zip(names, sides, strict=False):
        for feature in _of_words(features):
            column = rows.column(feature.name)
            if column in given.names:  # used only for new users and items
                new = _undescribed(given, rows.column(name), described, column)
                found = _words(new, column, feature)
                yield from _compared(encoder, feature.name, found, "words", usual=True)


def _compared(
    encoder: FittedEncoder, field: str, found: Collection[str], what: str, *, usual: bool = False
) -> Iterator[Unknown]:
    """Compare `found` with the vocabulary of a field; yield nothing if it is empty."""
    vocabulary = encoder.vocabularies[field]
    if found:
        strangers = [word for word in found if word not in vocabulary]
        yield Unknown(encoder.rows.column(field), what, len(found), strangers, usual, vocabulary)


def _of_words(features: Collection[Feature]) -> list[Feature]:
    return [feature for feature in features if feature.kind != "numeric"]


def _words(blocks: Iterable[RawBlock], column: str, feature: Feature) -> dict[str, None]:
    """Distinct words of a feature, in order of first occurrence."""
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
    """Yield `feature` in the rows whose ids, in `column`, are not in the index of `described`."""
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
    return ", ".join([*map(shown, islice(entries, SHOWN)), *["..."] * (len(entries) > SHOWN)])

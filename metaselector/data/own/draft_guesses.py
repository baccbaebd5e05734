"""Guess the roles of columns, from their names first and their values second."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaselector.data.own.column_profile import ColumnProfile
from metaselector.data.raw.times import Unit, finer_unit

# fmt: off
USER = (
    "user", "reviewer", "customer", "uid", "visitor", "member", "account", "client", "buyer",
    "person", "session"
)
ITEM = (
    "item", "movie", "product", "asin", "sku", "article", "book", "isbn", "song", "track",
    "video", "news", "business", "game", "offer", "content", "iid", "ad"
)
TIME = (
    "timestamp", "time", "ts", "datetime", "date", "created", "unixreviewtime", "reviewtime",
    "when", "day"
)
LABEL = (
    "rating", "ratings", "score", "stars", "overall", "label", "like", "liked", "likes", "click",
    "clicked", "clicks", "purchase", "purchased", "bought", "buy", "buys", "converted",
    "conversion", "watched", "played", "favorite", "target"
)
# fmt: on
"""Names of such columns, most specific first."""

_KEYS = ("id", "key", "code", "no", "number", "hash", "uuid", "idx", "index")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECONDS = (631_152_000, 4_102_444_800)  # 1990 to 2100
_DAYS = (19_700_101, 21_991_231)  # 20240501 is a date, not a time in seconds
_ALL_SECONDS = (0, 7_258_118_400)  # allowed in logs: 1970 to 2200
_ALL_MILLISECONDS = (315_532_800_000, 7_258_118_400_000)  # 1980 to 2200
_FEW = 20  # maximum distinct numbers that may be ratings


@dataclass(frozen=True)
class Guess:
    """A column guessed for a role.

    Attributes:
        column: the column; None if there is no candidate.
        doubt: what to check; empty if the name is clear.
    """

    column: ColumnProfile | None
    doubt: str = ""


def parts(name: str) -> list[str]:
    """Split a column's name into words in lower case.

    Example:
        >>> parts("reviewerID")
        ['reviewer', 'id']
    """
    return [word.lower() for word in _WORD.findall(name)]


def guess_keys(columns: Sequence[ColumnProfile]) -> tuple[Guess, Guess]:
    """Guess user and item: columns with such names, else columns whose values repeat."""
    usable = [c for c in columns if c.distinct and c.look in ("whole", "words", "flag", "number")]
    usable = [column for column in usable if not is_called(column, LABEL)]
    user = _named(usable, USER)
    item = _named([column for column in usable if column is not user], ITEM)
    rest = [column for column in usable if column not in (user, item) and _repeats(column)]
    guesses = []
    for role, column in {"user": user, "item": item}.items():
        doubt = ""
        if column is None and rest:
            column = max(rest, key=lambda column: column.distinct)
            rest.remove(column)
            doubt = f"guessed from its values; is this the {role}?"
        elif column is not None and len(parts(column.title)) > 2:
            doubt = f"is this the {role}?"
        guesses.append(Guess(column, (_gaps(column) if column else "") or doubt))
    return guesses[0], guesses[1]


def is_called(column: ColumnProfile, names: Sequence[str]) -> bool:
    """Whether one of `names` is a word of the column's name, or the whole name."""
    words = parts(column.title)
    return bool({*words, "".join(words)} & set(names))


def _named(columns: Sequence[ColumnProfile], names: Sequence[str]) -> ColumnProfile | None:
    """The column that matches the first possible of `names`, preferring exact matches."""
    for name in names:
        for column in columns:
            if "".join(parts(column.title)) in (name, name + "id"):
                return column
    for name in names:
        for column in columns:
            # Exclude, for example, the name or price of an item.
            if parts(column.title)[:1] == [name] and parts(column.title)[-1] in _KEYS:
                return column
    return None


def _repeats(column: ColumnProfile) -> bool:
    """Whether the values could be users or items: many, each in several rows."""
    repeats = _FEW < column.distinct <= column.rows / 2 and column.look in ("whole", "words")
    return repeats and not column.missing and unit_of(column) is None


def guess_time(columns: Sequence[ColumnProfile]) -> Guess:
    """Guess the time: the best named column of times, else any column of times."""
    for name in TIME:
        for column in columns:
            if is_called(column, [name]) and unit_of(column):
                return Guess(column, _gaps(column))
    for column in columns:
        if unit_of(column):
            return Guess(column, "guessed from its values; is this the time?")
    for name in TIME:
        for column in columns:
            if is_called(column, [name]) and unit_of(column, by_name=True):
                return Guess(column, "is this the time since 1970?")
    for column in columns:
        if column.distinct and is_called(column, TIME):
            finer = finer_unit(column.numbers[-1]) if column.numbers is not None else ""
            return Guess(column, finer or "its values cannot be read as times")
    return Guess(None)


def unit_of(column: ColumnProfile, by_name: bool = False) -> Unit | None:
    """Guess the unit of a time column; None if its values are not times.

    Args:
        column: the column.
        by_name: accept any possible time, because the name indicates one.
    """
    if column.look == "time":
        return "iso"
    if column.numbers is None or not len(column.numbers):
        return None
    low, high = column.numbers[0], column.numbers[-1]
    if _DAYS[0] <= low and high <= _DAYS[1]:
        return None
    seconds = _ALL_SECONDS if by_name else _SECONDS
    if seconds[0] <= low and high < seconds[1]:
        return "seconds"
    if _ALL_MILLISECONDS[0] <= low and high < _ALL_MILLISECONDS[1]:
        return "milliseconds"
    return None


def guess_labels(columns: Sequence[ColumnProfile]) -> list[Guess]:
    """Guess labels: columns with such names, else columns of 0 and 1; complete columns first."""
    usable = [column for column in columns if column.numbers is not None or column.look == "flag"]
    usable = [column for column in usable if column.distinct > 1]
    named = [column for column in usable if is_called(column, LABEL)]
    doubt = "" if named else "a column of 0 and 1; is this to be predicted?"
    found = named or [column for column in usable if column.look == "flag"]
    found.sort(key=lambda column: column.missing > 0)
    return [
        Guess(column, (_gaps(column) if position == 0 else "") or doubt)
        for position, column in enumerate(found)
    ]


def threshold(column: ColumnProfile) -> float:
    """The lowest rating of at least 4/5 of the highest, but above the lowest of all.

    For numbers that are not ratings, the median of the distinct ones.
    """
    assert column.numbers is not None
    values = column.numbers
    if len(values) > _FEW or values[-1] <= 0:
        return float(values[len(values) // 2])
    position = int(np.searchsorted(values, 0.8 * values[-1]))
    return float(values[max(position, 1)])


def _gaps(column: ColumnProfile) -> str:
    return f"{column.missing:,} rows have none; remove them" if column.missing else ""

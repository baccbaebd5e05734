"""Read RecBole's atomic files, the common format of its public data sets.

``<name>.inter`` contains the interactions, ``<name>.user`` and ``<name>.item`` the features of
users and items. The first line names and types the columns (``rating:float``). Tabs separate
columns, and spaces the words of a ``token_seq``.
Source: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from metaselector.common.errors import DataError, nearest
from metaselector.data.interactions import Interactions, InteractionTable, nothing_known
from metaselector.data.public.movielens import ITEM_FEATURES, USER_FEATURES, year_in_title
from metaselector.data.raw.tabular import TextLayout, first_line, index_by, read_rows, read_table
from metaselector.data.raw.values import Column, Kind, shown

TYPES = ("token", "token_seq", "float", "float_seq")

_USER, _ITEM = "user_id", "item_id"
_INTERACTIONS: dict[str, Kind] = {
    _USER: "key",
    _ITEM: "key",
    "rating": "number",
    "timestamp": "seconds",
}
_ITEM_COLUMNS = {  # our name: names in the files
    "title": ("movie_title", "title"),
    "release_year": ("release_year",),
    "genres": ("class", "genre", "genres"),
}
_YEAR = re.compile(r"[0-9]{4}")


def read_atomic(directory: Path, name: str) -> InteractionTable:
    """Read ``<name>.inter`` and, if present, ``<name>.user`` and ``<name>.item``.

    Known columns are recognised by name, others are ignored. An invalid release year (RecBole
    writes ``V`` and ``unkonwn``) is replaced by the year in the title, if there is one.

    Args:
        directory: the folder of the files.
        name: their common name, for example ``"ml-100k"``, and the name of the table.

    Raises:
        DataError: ``<name>.inter`` is missing, a header is not that of an atomic file, or a line
            is wrong; interactions are checked as they are read.
    """
    source = directory / f"{name}.inter"
    layout, _ = _layout(source, _INTERACTIONS)
    users = _users(directory / f"{name}.user")
    items = _items(directory / f"{name}.item")
    return InteractionTable(
        name=name,
        source=source,
        read=partial(_read, source, layout),
        users=users,
        describe_items=lambda names: items,
        user_features=tuple(feature for feature in USER_FEATURES if feature.name in users),
        item_features=tuple(feature for feature in ITEM_FEATURES if feature.name in items),
    )


def _read(path: Path, layout: TextLayout) -> Iterator[Interactions]:
    for records in read_rows(path, layout):
        yield records.interactions(_USER, _ITEM, "rating", records.times("timestamp"))


def _users(path: Path) -> pd.DataFrame:
    if not path.exists():
        return nothing_known("user")
    layout, _ = _layout(path, {_USER: "key"})
    frame = index_by(read_table(path, layout), _USER, path)
    known = [feature.name for feature in USER_FEATURES if feature.name in frame]
    return frame[known].astype("str").rename_axis("user")


def _items(path: Path) -> pd.DataFrame:
    if not path.exists():
        return nothing_known("item")
    layout, types = _layout(path, {_ITEM: "key"})
    frame = index_by(read_table(path, layout), _ITEM, path)
    found = {ours: _first(theirs, types) for ours, theirs in _ITEM_COLUMNS.items()}
    columns = {ours: frame[theirs] for ours, theirs in found.items() if theirs is not None}
    items = pd.DataFrame(columns, index=frame.index).rename_axis("item")
    if found["genres"] is not None:
        items["genres"] = _genres(items["genres"], types[found["genres"]])
    if "title" in items or "release_year" in items:
        items["release_year"] = _years(items)
    return items


def _genres(column: pd.Series, type_: str) -> pd.Series:
    genres = [
        tuple(entry.split()) if type_ == "token_seq" else (entry,) * bool(entry) for entry in column
    ]
    return pd.Series(genres, column.index, dtype=object)


def _years(items: pd.DataFrame) -> pd.Series:
    unknown = pd.Series("", items.index)
    years, titles = (items.get(column, unknown) for column in ("release_year", "title"))
    found = [
        year if _YEAR.fullmatch(year) else year_in_title(title)
        for year, title in zip(years, titles, strict=True)
    ]
    return pd.Series(found, items.index, dtype="str")


def _layout(path: Path, wanted: Mapping[str, Kind]) -> tuple[TextLayout, dict[str, str]]:
    """Layout of a file and declared type of each column; `wanted` columns must exist."""
    types = _header(path)
    for column, kind in wanted.items():
        expected = "token" if kind == "key" else "float"
        if column not in types:
            problem = f"the header has no {column}:{expected}; add it (it has {', '.join(types)})"
            raise DataError(path, problem, line=1, column=column)
        if types[column] != expected:
            problem = f"declared as '{types[column]}'; declare it {column}:{expected}"
            raise DataError(path, problem, line=1, column=column)
    columns = tuple(Column(column, wanted.get(column, "text")) for column in types)
    return TextLayout(columns, header_lines=1), types


def _header(path: Path) -> dict[str, str]:
    types: dict[str, str] = {}
    for entry in first_line(path).split("\t"):
        name, colon, type_ = entry.rpartition(":")
        if not colon or not name:
            problem = f"{shown(entry)} in the header is not name:type, such as user_id:token"
            raise DataError(path, problem, line=1)
        if type_ not in TYPES:
            problem = f"unknown type '{type_}'; {nearest(type_, TYPES)}"
            raise DataError(path, problem, line=1, column=name)
        if name in types:
            problem = f"'{name}' is given twice in the header; rename one of them"
            raise DataError(path, problem, line=1, column=name)
        types[name] = type_
    return types


def _first(names: tuple[str, ...], types: Mapping[str, str]) -> str | None:
    return next((name for name in names if name in types), None)

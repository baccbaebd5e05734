"""Read a file of users' or items' features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from metaselector.common.errors import DataError
from metaselector.data.interactions import Feature
from metaselector.data.own.log_columns import Noticed, converted, raw_kind
from metaselector.data.own.log_schema import SideFile
from metaselector.data.own.source import opened
from metaselector.data.raw.columns import checked, keys
from metaselector.data.raw.file import RawSource, require
from metaselector.data.raw.frames import RawTable
from metaselector.data.raw.spelling import plain
from metaselector.data.raw.values import shown

_DTYPE: dict[str, Any] = {"categorical": "str", "numeric": "float64"}


def open_side(schema: Path, side: SideFile, role: str, tables: Mapping[str, RawTable]) -> RawSource:
    """Open the rows of `side` in a `schema`, or those of its `role` in `tables`; check the header.

    The role is ``users`` or ``items``.

    Raises:
        DataError: it is missing, has an invalid header, or lacks a column.
    """
    file = tables.get(role) or opened(schema, f"{role}.file", side.file, side.separator)
    named = {f"{role}.features.{name}": column for name, column in side.columns.items()}
    require(file, {f"{role}.key": side.key, **named})
    return file


def read_side(
    file: RawSource, side: SideFile, index: str, only: Iterable[str] | None, repairs: list[str]
) -> pd.DataFrame:
    """Read the features of users or items.

    Args:
        file: the file, from :func:`open_side`.
        side: its description in the schema.
        index: name of the index, ``user`` or ``item``.
        only: the keys to keep; None keeps all.
        repairs: extended by a sentence for each feature with missing values in all rows or in
            lists, and about keys in other spellings.

    Returns:
        A column for each feature, indexed by the key: words, tuples of words, or float64.

    Raises:
        DataError: a value is wrong, a key is empty, or a key to keep occurs twice.
    """
    features = side.as_features()
    kinds = {side.columns[feature.name]: raw_kind(feature) for feature in features}
    wanted = None if only is None else pa.array(list(only), pa.string())
    spelled = None if wanted is None else plain(wanted)
    near: list[str] = []
    parts: list[pd.DataFrame] = []
    lines: dict[str, tuple[Path, int]] = {}
    noticed = Noticed()
    for block in file.blocks({side.key: "word", **kinds}):
        found = checked(block, side.key, keys).dictionary_decode()
        kept = np.ones(len(found), bool)
        if wanted is not None:
            kept = pc.is_in(found, wanted).to_numpy(zero_copy_only=False)
            near += spelled_like(found.filter(pa.array(~kept)), spelled)
        names = found.filter(pa.array(kept)).to_pylist()
        for name, line in zip(names, block.lines[kept].tolist(), strict=True):
            if name in lines:
                place, earlier = lines[name]
                where = f"line {earlier}" if place == block.path else f"{place.name}:{earlier}"
                problem = f"{shown(name)} was already described in {where}; remove one of the two"
                raise DataError(block.path, problem, line=line, column=side.key)
            lines[name] = block.path, line
        columns: dict[str, Any] = {}
        for feature in features:
            column = converted(block, side.columns[feature.name], feature, noticed)
            columns[feature.name] = _listed(column.filter(pa.array(kept)), feature)
        parts.append(pd.DataFrame(columns, index=pd.Index(names, dtype="str", name=index)))
    note(repairs, noticed.sentences(file.path, side.columns))
    if wanted is not None and len(wanted) and not lines:
        note_strangers(repairs, file.path, side, index)
    elif wanted is not None and near:
        missed = [name for name in wanted.to_pylist() if name not in lines]
        note_spellings(repairs, file.path, side, index, missed, near)
    if not parts:
        columns = {feature.name: [] for feature in features}
        parts = [pd.DataFrame(columns, index=pd.Index([], dtype="str", name=index))]
    return pd.concat(parts).astype(
        {feature.name: _DTYPE[feature.kind] for feature in features if feature.kind in _DTYPE}
    )


def note_strangers(repairs: list[str], path: Path, side: SideFile, index: str) -> None:
    """Note, once, that a file has none of the users or items that occur."""
    sentence = (
        f"{path}: column '{side.key}' has none of the {index}s of the interactions; compare "
        "their spelling"
    )
    note(repairs, [sentence])


def spelled_like(names: pa.Array, wanted: pa.Array) -> list[str]:
    """Select `names` whose :func:`plain` spelling is among the `wanted` words."""
    found: list[str] = names.filter(pc.is_in(plain(names), wanted)).to_pylist()
    return found


def note_spellings(
    repairs: list[str],
    path: Path,
    side: SideFile,
    index: str,
    missed: Sequence[str],
    near: Sequence[str],
) -> None:
    """Note, once, that the file has users or items in a different spelling.

    Args:
        repairs: extended by the note.
        path: the file.
        side: its description in the schema.
        index: ``user`` or ``item``.
        missed: names that occur but are not in the file.
        near: names in the file.
    """
    theirs = dict(zip(plain(pa.array(near, pa.string())).to_pylist(), near, strict=True))
    ours = zip(missed, plain(pa.array(missed, pa.string())).to_pylist(), strict=True)
    pairs = [(name, theirs[text]) for name, text in ours if text in theirs]
    if pairs:
        name, other = pairs[0]
        who = f"1 {index} is" if len(pairs) == 1 else f"{len(pairs):,} {index}s are"
        sentence = (
            f"{path}: column '{side.key}': {who} spelled differently than in the interactions "
            f"({shown(other)} for {shown(name)}), so features are missing; use one spelling"
        )
        note(repairs, [sentence])


def note(repairs: list[str], sentences: Iterable[str]) -> None:
    """Add each of the `sentences` once, however often the file is read."""
    repairs.extend(sentence for sentence in sentences if sentence not in repairs)


def _listed(column: pa.Array, feature: Feature) -> Any:
    """Convert a column for pandas."""
    if feature.kind == "numeric":
        return column.to_numpy(zero_copy_only=False)
    if feature.kind == "categorical":
        return column.dictionary_decode().fill_null("").to_pylist()
    found = np.empty(len(column.dictionary) + 1, dtype=object)
    for code, text in enumerate([*column.dictionary.to_pylist(), None]):
        found[code] = _words(text, feature.separator)
    return found[column.indices.fill_null(len(column.dictionary)).to_numpy(zero_copy_only=False)]


def _words(text: str | None, separator: str) -> tuple[str, ...]:
    return tuple(word for word in (text or "").split(separator) if word)

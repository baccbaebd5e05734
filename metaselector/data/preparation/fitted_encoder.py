"""The encoder that preparation fits, which encodes new rows later.

It is saved beside the prepared data set and works without it: it holds the schema, a description of
raw rows, and the raw features of every user and item.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from metaselector.common.errors import DataError
from metaselector.common.files import read_json, write_text
from metaselector.data.encoded.digests import MEND, add_digests, check_digests
from metaselector.data.encoded.schema import Owner, Schema
from metaselector.data.interactions import (
    Feature,
    Interactions,
    InteractionTable,
    Task,
    TimeUnit,
    nothing_known,
)
from metaselector.data.microseconds import TimePart
from metaselector.data.raw.expansion import read_whole

_FILES = ("schema.json", "rows.json", "known_users.parquet", "known_items.parquet")
_NAME = "name"


@dataclass(frozen=True)
class RowDescription:
    """The columns of raw rows; attributes not listed are those of :class:`InteractionTable`.

    Attributes:
        sampled: whether negatives were sampled, so that the log has no column of the first task.
    """

    tasks: tuple[Task, ...]
    features: tuple[Feature, ...]
    user_features: tuple[Feature, ...]
    item_features: tuple[Feature, ...]
    time_parts: tuple[TimePart, ...]
    tabular: bool
    columns: Mapping[str, str]
    time_unit: TimeUnit | None
    sampled: bool = False

    def column(self, name: str) -> str:
        """The column name in the file of `name`."""
        return self.columns.get(name, name)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names in the files of ids, tasks and features."""
        ids = ("user",) if self.tabular else ("user", "item", "timestamp")
        features = (*self.features, *self.user_features, *self.item_features)
        names = [*ids, *(task.name for task in self.tasks), *(one.name for one in features)]
        return tuple(map(self.column, names))

    @property
    def fields(self) -> list[tuple[str, Owner, str]]:
        """Name, owner and kind of every field made from these columns, in any order."""
        owned: dict[Owner, tuple[Feature, ...]] = {
            "user": (Feature("user"), *self.user_features),
            "item": (Feature("item"), *self.item_features),
            "row": (*self.features, *map(Feature, self.time_parts)),
        }
        if self.tabular:
            owned["item"] = ()
        made = [(one.name, of, _kind(one)) for of, features in owned.items() for one in features]
        if not self.tabular:
            made.append(("history_items", "history", "sequence"))
        profiles = (one.name for one in owned["item"] if one.profile)
        return [*made, *((f"history_{name}", "history", "profile") for name in profiles)]


_ROWS = TypeAdapter(RowDescription)


@dataclass(frozen=True)
class FittedEncoder:
    """All that is needed to encode new rows.

    Attributes:
        schema: schema of the data set.
        rows: description of raw rows.
        users, items: raw features, a column each, indexed by the user or item string: words
            (missing: nan or empty), tuples of words, or float64. Items are in the order of their
            codes.
    """

    schema: Schema
    rows: RowDescription
    users: pd.DataFrame
    items: pd.DataFrame

    @cached_property
    def vocabularies(self) -> Mapping[str, Collection[str]]:
        """The words of every field except history fields, in order, with fast look-up."""
        made = (field for field in self.schema.fields if field.of != "history")
        return {field.name: dict.fromkeys(field.vocabulary) for field in made}

    @classmethod
    def of(cls, schema: Schema, table: InteractionTable, items: Sequence[str]) -> Self:
        """Build the encoder from a prepared `table` in which `items` occur."""
        same = {field.name for field in fields(RowDescription)} - {"sampled"}
        rows = RowDescription(
            **{name: getattr(table, name) for name in same}, sampled=table.negatives is not None
        )
        described = nothing_known("item") if table.tabular else table.describe_items(items)
        return cls(
            schema,
            rows,
            table.users[[feature.name for feature in table.user_features]],
            described[[feature.name for feature in table.item_features]],
        )

    def table(
        self,
        source: Path,
        read: Callable[[], Iterator[Interactions]],
        users: pd.DataFrame,
        items: pd.DataFrame,
    ) -> InteractionTable:
        """Wrap new rows as an interaction table, with the features of their users and items."""
        same = {field.name for field in fields(RowDescription)} - {"sampled"}
        return InteractionTable(
            name=self.schema.dataset,
            source=source,
            read=read,
            users=users,
            describe_items=lambda names: items,
            **{name: getattr(self.rows, name) for name in same},
        )

    def save(self, directory: Path) -> None:
        """Write to files in an existing directory."""
        schema, rows, users, items = (directory / file for file in _FILES)
        write_text(schema, self.schema.model_dump_json(indent=1, exclude_none=True))
        write_text(rows, json.dumps(asdict(self.rows), indent=1))
        pq.write_table(_to_arrow(self.users, self.rows.user_features), users)
        pq.write_table(_to_arrow(self.items, self.rows.item_features), items)
        add_digests(directory, _FILES)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Load an encoder written by :meth:`save`.

        Raises:
            DataError: a file is missing, was changed, or was written by an older version.
        """
        check_digests(directory, _FILES)
        schema, rows_path, users, items = (directory / file for file in _FILES)
        try:
            given = asdict(_ROWS.validate_python(read_json(rows_path)))
            made = {"tasks": Task, "features": Feature, "user_features": Feature}
            for name, kind in (made | {"item_features": Feature}).items():
                given[name] = tuple(kind(**one) for one in given[name])
            rows = RowDescription(**given | {"time_parts": tuple(given["time_parts"])})
            frames = (
                _to_pandas(read_whole(users), rows.user_features),
                _to_pandas(read_whole(items), rows.item_features),
            )
        except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
            raise DataError(rows_path, f"missing or damaged ({error}); {MEND}") from error
        encoder = cls(Schema.load(schema), rows, *frames)
        listed = [(field.name, field.of, str(field.kind)) for field in encoder.schema.fields]
        tasks, parents = encoder.schema.tasks, encoder.schema.parents
        after = [None if parent is None else tasks[parent] for parent in parents]
        described = [(task.name, task.after) for task in rows.tasks]
        if sorted(listed) != sorted(rows.fields) or described != list(
            zip(tasks, after, strict=True)
        ):
            raise DataError(rows_path, f"does not fit {schema.name}; {MEND}")
        return encoder


def _kind(feature: Feature) -> str:
    """Kind of the field made from a feature; a bucketed number is categorical."""
    return "categorical" if feature.buckets is not None else feature.kind


def _to_arrow(frame: pd.DataFrame, features: Sequence[Feature]) -> pa.Table:
    columns: dict[str, pa.Array] = {_NAME: pa.array(frame.index.tolist(), pa.string())}
    for feature in features:
        column = frame[feature.name]
        if feature.kind == "numeric":
            columns[feature.name] = pa.array(column.to_numpy(np.float64), pa.float64())
        elif feature.kind == "multivalued":
            lists = [list(entry) if isinstance(entry, tuple) else None for entry in column]
            columns[feature.name] = pa.array(lists, pa.list_(pa.string()))
        else:
            columns[feature.name] = pa.array(column.fillna("").tolist(), pa.string())
    return pa.table(columns)


def _to_pandas(table: pa.Table, features: Sequence[Feature]) -> pd.DataFrame:
    index = pd.Index(table[_NAME].to_pylist(), dtype="str")
    columns: dict[str, Any] = {}
    for feature in features:
        if feature.kind == "numeric":
            columns[feature.name] = table[feature.name].to_numpy()
        elif feature.kind == "multivalued":
            entries = [None if e is None else tuple(e) for e in table[feature.name].to_pylist()]
            columns[feature.name] = pd.Series(entries, index=index, dtype=object)
        else:
            words = table[feature.name].to_pylist()
            columns[feature.name] = pd.Series(words, index=index, dtype="str")
    return pd.DataFrame(columns, index=index)

"""Read a user's own log, described by a YAML schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from metaselector.common.errors import ConfigError, DataError
from metaselector.data.interactions import (
    Interactions,
    InteractionTable,
    Negatives,
    Task,
    nothing_known,
)
from metaselector.data.own.list_rows import ListRows
from metaselector.data.own.list_schema import CHOSEN, POSITION
from metaselector.data.own.log_columns import Noticed, interactions, raw_kinds
from metaselector.data.own.log_schema import LogSchema, load_schema
from metaselector.data.own.side_file import (
    note,
    note_spellings,
    note_strangers,
    open_side,
    read_side,
    spelled_like,
)
from metaselector.data.own.source import opened
from metaselector.data.raw.file import RawSource, require
from metaselector.data.raw.frames import RawTable
from metaselector.data.raw.spelling import plain

SUFFIXES = (".yaml", ".yml")
POSITIVE = "interaction"
"""Name of the task in a log that has only positives."""


def is_schema(name: str) -> bool:
    """Whether a data set's name is the path of a YAML schema."""
    return name.endswith(SUFFIXES)


@dataclass(frozen=True)
class OwnLog:
    """A data set described by a YAML schema, whose path is its name.

    Attributes:
        schema: the YAML file.
    """

    schema: Path

    @property
    def licence(self) -> str:
        """Unknown."""
        return "your own files; check their licence yourself"

    @property
    def expected(self) -> str:
        """The expected files, for messages."""
        return f"the interactions that {self.schema} describes"

    @property
    def interactions(self) -> Path:
        """Path of the interactions, or the schema if it has a query.

        Raises:
            ConfigError: the schema is wrong.
        """
        source = load_schema(self.schema).interactions
        return self.schema.parent / source if isinstance(source, str) else self.schema

    def read(self, path: Path) -> InteractionTable:
        """Read the interactions at `path` by the schema; raises like :func:`read_log`."""
        return read_log(self.schema, path)


def read_log(
    schema_path: Path, data: Path | None = None, tables: Mapping[str, RawTable] | None = None
) -> InteractionTable:
    """Read a log by its schema.

    All headers, and the features of users, are read at once; interactions are read lazily. Lines
    count the rows of each Parquet file, or of the result of a query, from 1.

    Args:
        schema_path: the YAML schema.
        data: interactions to read instead of those named in the schema; the schema itself means
            those.
        tables: rows in memory to read instead of what the schema names as ``interactions``,
            ``users`` and ``items``, from :func:`metaselector.data.own.frame.frame_log`.

    Raises:
        ConfigError: the schema is wrong.
        DataError: a file is missing or malformed. Values are checked as rows are read.
    """
    schema = load_schema(schema_path)
    given = tables or {}
    log: RawSource | None = given.get("interactions")
    if log is None:
        data = None if data == schema_path else data
        log = opened(schema_path, "interactions", schema.interactions, schema.separator, data)
    _require(schema_path, schema, log)
    items = open_side(schema_path, schema.items, "items", given) if schema.items else None
    people = open_side(schema_path, schema.users, "users", given) if schema.users else None
    repairs: list[str] = []
    users = nothing_known("user")
    if schema.users and people:
        users = read_side(people, schema.users, "user", None, repairs)

    def read() -> Iterator[Interactions]:
        noticed, selected = Noticed(), ListRows(log.path, schema)
        rows, known, missed = 0, users.empty, dict[str, None]()
        blocks = log.blocks(raw_kinds(schema_path, schema))
        for raw in (some for block in blocks for some in selected.of(block) if len(some.lines)):
            block = interactions(schema, raw, noticed)
            rows += len(block.lines)
            if people:
                names = pd.Index(block.user.unique().to_pylist())
                described = names.isin(users.index)
                known = known or bool(described.any())
                missed |= dict.fromkeys(names[~described])
            yield block
        if not rows:
            selected.check_any()
            raise DataError(log.path, "contains only a header and no interactions")
        note(repairs, selected.sentences())
        note(repairs, noticed.sentences(log.path, schema.columns))
        if schema.users and people and not known:
            note_strangers(repairs, people.path, schema.users, "user")
        elif schema.users and people and missed:
            unknown = list(missed)
            spelled = plain(pa.array(unknown, pa.string()))
            near = spelled_like(pa.array(users.index, pa.string()), spelled)
            note_spellings(repairs, people.path, schema.users, "user", unknown, near)

    def describe_items(keys: Iterable[str]) -> pd.DataFrame:
        if schema.items is None or items is None:
            return nothing_known("item")
        return read_side(items, schema.items, "item", keys, repairs)

    labels, negatives = schema.all_labels, schema.negatives
    return InteractionTable(
        name=schema.name,
        source=log.path,
        read=read,
        users=users,
        describe_items=describe_items,
        # Always set a threshold, because without one a task uses the setting for ratings.
        tasks=tuple(
            Task(name, label.least, label.after, flag=label.threshold is None)
            for name, label in labels.items()
        )
        or (Task(POSITIVE, 1.0, flag=True),),
        negatives=Negatives(**negatives.model_dump()) if negatives else None,
        features=schema.as_features(),
        user_features=schema.users.as_features() if schema.users else (),
        item_features=schema.items.as_features() if schema.items else (),
        time_parts=schema.time_parts,
        lists=schema.list is not None,
        columns=_names_of(schema),
        time_unit=schema.time.unit,
        repairs=repairs,
    )


def _names_of(schema: LogSchema) -> dict[str, str]:
    """Column names in the log of ids, labels and features.

    Columns that exploding makes are called as here: in new rows, each entry has its own row.
    """
    names = {"user": schema.user, "item": schema.item, "timestamp": schema.time.column}
    names |= {name: label.column for name, label in schema.all_labels.items()}
    for features in (schema, schema.users, schema.items):
        names |= features.columns if features else {}
    made = {*schema.list.explode, CHOSEN, POSITION} if schema.list else set()
    return {name: column for name, column in names.items() if column not in made}


def _require(path: Path, schema: LogSchema, log: RawSource) -> None:
    """Check everything that the header of the interactions determines."""
    require(log, schema.named)
    if not log.is_typed and schema.time.unit is None:
        units = "seconds, milliseconds or iso"
        raise ConfigError(
            f"{path}: time.unit: missing; set it to the unit in {log.path.name}: {units}"
        )
    raw_kinds(path, schema)

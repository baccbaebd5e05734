"""The YAML schema of a user's own log: the meaning of its columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from metaselector.common.errors import nearest
from metaselector.data.interactions import Feature, FeatureKind, Sampling
from metaselector.data.microseconds import TimePart
from metaselector.data.own.list_schema import CHOSEN, LABEL, ListColumns, list_problems
from metaselector.data.own.source import Separator, Source
from metaselector.data.own.yaml_file import SchemaSection, load_yaml
from metaselector.data.raw.times import Unit

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_RESERVED = ("user", "item", "timestamp", "line")


class TimeColumn(SchemaSection):
    """The column of times."""

    column: str = Field(min_length=1, description="name of the column")
    unit: Unit | None = Field(
        None, description="since 1970 UTC, or ISO 8601; None if the Parquet type determines it"
    )


class Label(SchemaSection):
    """A column to predict."""

    column: str = Field(min_length=1, description="name of the column")
    threshold: float | None = Field(
        None,
        allow_inf_nan=False,
        description="values of at least this are positive; None: the column contains 0 and 1",
    )
    after: str | None = Field(
        None,
        description="earlier label that must be positive for this one to be observed; otherwise a "
        "negative value counts as missing, and a positive one is an error",
    )

    @property
    def least(self) -> float:
        """Smallest positive value."""
        return 1.0 if self.threshold is None else self.threshold


class NegativeSampling(SchemaSection):
    """How to sample negatives for a log that has only positives."""

    per_positive: int = Field(ge=1, description="negatives sampled per row")
    sampling: Sampling = Field("uniform", description="distribution of sampled items")
    seed: int = Field(0, ge=0, description="random seed of the sampling")


class FeatureColumn(SchemaSection):
    """A column that becomes a field."""

    kind: FeatureKind = Field("categorical", description="one word, several words, or a number")
    column: str | None = Field(
        None, min_length=1, description="name of the column; None: the feature's name"
    )
    separator: str = Field("|", min_length=1, description="separator of a multivalued feature")
    buckets: int | None = Field(
        None, ge=2, description="quantile buckets that a number is cut into; None standardises it"
    )
    min_count: int | None = Field(
        None, ge=1, description="rarer words count as unseen; None: the setting data.min_count"
    )
    profile: bool = Field(
        False, description="multivalued item features: add the mean over the user's positives"
    )

    @model_validator(mode="after")
    def _meant(self) -> FeatureColumn:
        """Raise for a setting that would have no effect."""
        meant = {
            "separator": self.kind == "multivalued",
            "profile": self.kind == "multivalued",
            "buckets": self.kind == "numeric",
            "min_count": self.kind != "numeric",
        }
        for key, holds in meant.items():
            if key in self.model_fields_set and not holds:
                raise ValueError(f"{key} has no effect on a {self.kind} feature; remove it")
        return self


Features = dict[str, FeatureColumn]


class _Featured(SchemaSection):
    features: Features = Field(default_factory=dict, description="columns that become fields")

    @field_validator("features", mode="before")
    @classmethod
    def _none_at_all(cls, given: Any) -> Any:
        return {} if given is None else given  # if all features are commented out

    @property
    def columns(self) -> dict[str, str]:
        """Column name of each feature."""
        return {name: feature.column or name for name, feature in self.features.items()}

    def as_features(self) -> tuple[Feature, ...]:
        """The features as the interaction table describes them."""
        return tuple(
            Feature(name, **feature.model_dump(exclude={"column"}))
            for name, feature in self.features.items()
        )


class SideFile(_Featured):
    """A file of users' or items' features."""

    file: Source = Field(description="as for the interactions")
    key: str = Field(min_length=1, description="column of the user or item")
    separator: Separator | None = Field(None, description="column separator, as for the log")


class LogSchema(_Featured):
    """The schema of a log; paths are relative to the schema's file."""

    version: Literal[1] = Field(description="version of this format")
    name: str = Field(description="name of the data set; by default that of the file")
    interactions: Source = Field(
        description="path, relative to the schema: .csv, .tsv, .txt, .inter or .jsonl, also with "
        ".gz, .zst or .bz2; .parquet; .xlsx; a folder of such files, or a pattern such as "
        "logs/*.csv; or a query"
    )
    separator: Separator | None = Field(
        None,
        description="column separator of text; None: a tab in .tsv and .inter, else a comma",
    )
    where: dict[str, str] = Field(
        default_factory=dict, description="use only rows with these values, by column"
    )
    user: str = Field(min_length=1, description="column of the user")
    item: str = Field(min_length=1, description="column of the item")
    time: TimeColumn
    row: str | None = Field(
        None,
        min_length=1,
        description="column with the place of each row in the original log, from 0 without gaps, "
        "which the files need not keep",
    )
    labels: dict[str, Label] | None = Field(
        None, min_length=1, description="labels to predict; the first one is evaluated"
    )
    negatives: NegativeSampling | None = Field(
        None, description="instead of labels, for a log that has only positives"
    )
    time_parts: tuple[TimePart, ...] = Field(
        ("day_of_week", "season"), description="parts of the time (UTC) that become fields"
    )
    list: ListColumns | None = Field(
        None, description="rows that were shown together, such as the results of a search"
    )
    users: SideFile | None = None
    items: SideFile | None = None

    @property
    def columns(self) -> dict[str, str]:
        """Column name of each feature, and of the position in a list."""
        return {**super().columns, **(self.list.position_column if self.list else {})}

    def as_features(self) -> tuple[Feature, ...]:
        """The features, and last the position in a list."""
        return super().as_features() + (self.list.position_feature if self.list else ())

    @property
    def all_labels(self) -> dict[str, Label]:
        """The labels, or that of the chosen entry of a list; empty if negatives are sampled."""
        if self.list and self.list.chosen:
            return {LABEL: Label(column=CHOSEN)}
        return self.labels or {}

    @property
    def named(self) -> dict[str, str]:
        """Columns of the file by their role in the schema."""
        own = {"user": self.user, "item": self.item, "time.column": self.time.column}
        own |= {"row": self.row} if self.row else {}
        own |= {f"where.{column}": column for column in self.where}
        own |= {f"labels.{name}": label.column for name, label in (self.labels or {}).items()}
        own |= {f"features.{name}": column for name, column in super().columns.items()}
        if self.list:
            place = self.list.position
            own |= self.list.columns | {f"list.explode.{name}": name for name in self.list.explode}
            own |= {"list.position.column": place.column} if place and place.column else {}
        return own

    @model_validator(mode="after")
    def _consistent(self) -> LogSchema:
        for problem in _problems(self):
            raise ValueError(problem)
        return self


def load_schema(path: Path) -> LogSchema:
    """Read the schema at `path`; raises :class:`ConfigError` as :func:`load_yaml`.

    Example:
        >>> schema = load_schema(Path("examples/shop/shop.yaml"))
        >>> schema.user, schema.item, list(schema.labels)
        ('user_id', 'item_id', ['liked'])
    """
    return load_yaml(path, LogSchema, {"name": path.stem})


def _problems(schema: LogSchema) -> Iterator[str]:
    """Yield problems that concern several keys."""
    if not NAME.fullmatch(schema.name):
        yield f"name: '{schema.name}' is invalid; use letters, digits, _ and -"
    if schema.list:
        ids = {"user": schema.user, "item": schema.item, "time.column": schema.time.column}
        features = {name: one.column or name for name, one in schema.features.items()}
        labels = [key for key in ("labels", "negatives") if getattr(schema, key) is not None]
        yield from list_problems(schema.list, ids, features, labels)
    if bool(schema.all_labels) == (schema.negatives is not None):
        found = "both" if schema.labels else "neither"
        yield f"labels: give either labels or negatives, found {found}"
    if schema.row and (schema.where or (schema.list and schema.list.explode)):
        yield "row: its numbers have gaps after `where` and repeats after list.explode; remove it"
    yield from _order(schema)
    yield from _leaks(schema)
    if len(set(schema.time_parts)) < len(schema.time_parts):
        yield "time_parts: a part is given twice; remove one of them"
    yield from _field_names(schema)
    sides = {"": schema, "users.": schema.users}
    for place, side in sides.items():
        for name, feature in side.features.items() if side else ():
            if feature.profile:
                yield f"{place}features.{name}.profile: only item features can have one; remove it"


def _order(schema: LogSchema) -> Iterator[str]:
    """Yield labels that come after a label which is not listed before them."""
    earlier: list[str] = []
    for name, label in (schema.labels or {}).items():
        if label.after is not None and label.after not in earlier:
            hint = nearest(label.after, earlier) if earlier else "remove it"
            yield f"labels.{name}.after: '{label.after}' is not an earlier label; {hint}"
        earlier.append(name)


def _leaks(schema: LogSchema) -> Iterator[str]:
    """Yield columns with two roles, one of which would leak the other."""
    labels = {f"labels.{name}": label.column for name, label in (schema.labels or {}).items()}
    taken: dict[str, str] = {}
    roles = {"user": schema.user, "item": schema.item, "time.column": schema.time.column}
    roles |= {"row": schema.row} if schema.row else {}
    for role, column in [*roles.items(), *labels.items()]:
        if column in taken and not (role in labels and taken[column] in labels):
            yield f"{role}: column '{column}' is already the {taken[column]}; choose another column"
        taken[column] = role
    for name, column in schema.columns.items():
        role = taken.get(column, "")
        if role in labels:
            yield (
                f"features.{name}: column '{column}' is the label {role.removeprefix('labels.')}, "
                "which models must not see; remove the feature"
            )
        if role:
            remedy = "use time_parts" if role == "time.column" else "it always has a field"
            yield (
                f"features.{name}: column '{column}' is already the {role}; remove the feature "
                f"({remedy})"
            )


def _field_names(schema: LogSchema) -> Iterator[str]:
    """Yield names that two fields would share."""
    taken = dict.fromkeys(_RESERVED, "reserved")
    for name in schema.all_labels:
        if not NAME.fullmatch(name):
            yield f"labels: '{name}' is invalid; use letters, digits, _ and -"
        if name in taken:
            yield f"labels.{name}: '{name}' is {taken[name]}; rename the label"
        taken[name] = "a label"
    taken |= dict.fromkeys(schema.time_parts, "one of the time_parts")
    for name in schema.list.position_column if schema.list else ():
        if name in taken or name.startswith("history_"):
            why = taken.get(name, "reserved, like all names that begin with history_")
            yield f"list.position.name: '{name}' is {why}; choose another name"
        taken[name] = "the position in the list"
    for place, side in {"": schema, "users.": schema.users, "items.": schema.items}.items():
        for name in side.features if side else ():
            where = f"{place}features.{name}"
            remedy = "rename the feature and give its column: {column: " + name + ", ...}"
            if not name or name.startswith("history_"):
                yield f"{where}: names that begin with history_ are reserved; {remedy}"
            if name in taken:
                yield f"{where}: '{name}' is {taken[name]}; {remedy}"
            taken[name] = f"one of {place}features"

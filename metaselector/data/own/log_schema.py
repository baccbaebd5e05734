"""What a user writes of an interaction log of their own: which column means what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from metaselector.common.errors import nearest
from metaselector.data.interactions import Feature, FeatureKind, Sampling, TimePart
from metaselector.data.own.yaml_file import Section, load_yaml
from metaselector.data.raw.times import Unit

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_SEPARATOR = re.compile(r"[\t !#-~]")
_RESERVED = ("user", "item", "timestamp", "line")


def _one_character(separator: str) -> str:
    if not _SEPARATOR.fullmatch(separator):
        raise ValueError(f"{separator!r} is not one character of ASCII, or is a quote or line end")
    return separator


Separator = Annotated[str, AfterValidator(_one_character)]


class TimeColumn(Section):
    column: str = Field(min_length=1, description="the column")
    unit: Unit | None = Field(
        None, description="since 1970 UTC, or ISO 8601; None where Parquet's type says it"
    )


class Label(Section):
    column: str = Field(min_length=1, description="the column")
    threshold: float | None = Field(
        None,
        allow_inf_nan=False,
        description="a value at or above it is a positive; None: the column holds 0 and 1",
    )
    after: str | None = Field(
        None,
        description="an earlier label that must be positive for this one to have a value; where it "
        "is not, a negative value counts as missing, and a positive one is an error",
    )

    @property
    def least(self) -> float:
        """The least positive value."""
        return 1.0 if self.threshold is None else self.threshold


class NegativeSampling(Section):
    per_positive: int = Field(ge=1, description="negatives sampled for each row")
    sampling: Sampling = Field("uniform", description="of items")
    seed: int = Field(0, ge=0, description="of the sampling")


class FeatureColumn(Section):
    kind: FeatureKind = Field("categorical", description="one word, several words, or a number")
    column: str | None = Field(
        None, min_length=1, description="the column; None: called as the feature"
    )
    separator: str = Field("|", min_length=1, description="between the words of a multivalued one")
    buckets: int | None = Field(
        None, ge=2, description="cut a number at quantiles of train; None standardises it"
    )
    min_count: int | None = Field(
        None, ge=1, description="rarer words count as unseen; None: the setting data.min_count"
    )
    profile: bool = Field(
        False, description="multivalued features of items: also the mean over what the user liked"
    )

    @model_validator(mode="after")
    def _meant(self) -> FeatureColumn:
        """Refuse a setting that would silently change nothing."""
        meant = {
            "separator": self.kind == "multivalued",
            "profile": self.kind == "multivalued",
            "buckets": self.kind == "numeric",
            "min_count": self.kind != "numeric",
        }
        for key, holds in meant.items():
            if key in self.model_fields_set and not holds:
                raise ValueError(f"{key} means nothing for a {self.kind} feature; remove it")
        return self


Features = dict[str, FeatureColumn]


class _Featured(Section):
    features: Features = Field(default_factory=dict, description="columns that become fields")

    @field_validator("features", mode="before")
    @classmethod
    def _none_at_all(cls, given: Any) -> Any:
        return {} if given is None else given  # a user who comments all of them out

    @property
    def columns(self) -> dict[str, str]:
        """The column of each feature."""
        return {name: feature.column or name for name, feature in self.features.items()}

    def as_features(self) -> tuple[Feature, ...]:
        """The features as the interaction table describes them."""
        return tuple(
            Feature(name, **feature.model_dump(exclude={"column"}))
            for name, feature in self.features.items()
        )


class SideFile(_Featured):
    file: str = Field(min_length=1, description="beside the schema: text or Parquet, as the log")
    key: str = Field(min_length=1, description="the column of the user or item")
    separator: Separator | None = Field(None, description="between columns, as of the log")


class LogSchema(_Featured):
    """A log of one's own. All paths are relative to the file that holds this."""

    version: Literal[1] = Field(description="of this format")
    name: str = Field(description="of the data set; by default, the file's")
    interactions: str = Field(
        min_length=1,
        description=".csv, .tsv, .txt or .inter, also with .gz; .parquet; or a folder of .parquet",
    )
    separator: Separator | None = Field(
        None,
        description="between columns of text; None: a tab in .tsv and .inter, else a comma",
    )
    user: str = Field(min_length=1, description="the column that says who")
    item: str = Field(min_length=1, description="the column that says what")
    time: TimeColumn
    labels: dict[str, Label] | None = Field(
        None, min_length=1, description="what to predict; the first one is evaluated"
    )
    negatives: NegativeSampling | None = Field(
        None, description="instead of labels, for a log of positives only"
    )
    time_parts: tuple[TimePart, ...] = Field(
        ("day_of_week", "season"), description="parts of the time (UTC) that become fields"
    )
    users: SideFile | None = None
    items: SideFile | None = None

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
    """What no single key shows, in sentences."""
    if not NAME.fullmatch(schema.name):
        yield f"name: '{schema.name}' is no name; set one of letters, digits, _ and -"
    if (schema.labels is None) == (schema.negatives is None):
        found = "neither" if schema.labels is None else "both"
        yield f"labels: give either labels or negatives, found {found}"
    yield from _order(schema)
    yield from _leaks(schema)
    if len(set(schema.time_parts)) < len(schema.time_parts):
        yield "time_parts: one is given twice; remove one of the two"
    yield from _field_names(schema)
    sides = {"": schema, "users.": schema.users}
    for place, side in sides.items():
        for name, feature in side.features.items() if side else ():
            if feature.profile:
                yield f"{place}features.{name}.profile: only features of items have one; remove it"


def _order(schema: LogSchema) -> Iterator[str]:
    """Labels that come after one that does not stand before them."""
    earlier: list[str] = []
    for name, label in (schema.labels or {}).items():
        if label.after is not None and label.after not in earlier:
            hint = nearest(label.after, earlier) if earlier else "remove it"
            yield f"labels.{name}.after: '{label.after}' is no label before this one; {hint}"
        earlier.append(name)


def _leaks(schema: LogSchema) -> Iterator[str]:
    """Columns that mean two things of which one would give the other away."""
    labels = {f"labels.{name}": label.column for name, label in (schema.labels or {}).items()}
    taken: dict[str, str] = {}
    roles = {"user": schema.user, "item": schema.item, "time.column": schema.time.column}
    for role, column in [*roles.items(), *labels.items()]:
        if column in taken and not (role in labels and taken[column] in labels):
            yield f"{role}: column '{column}' is the {taken[column]} already; choose another column"
        taken[column] = role
    for name, column in schema.columns.items():
        role = taken.get(column, "")
        if role in labels:
            yield (
                f"features.{name}: column '{column}' is the label {role.removeprefix('labels.')}, "
                "which must not be told to a model; remove the feature"
            )
        if role:
            remedy = "use time_parts" if role == "time.column" else "every data set has its field"
            yield (
                f"features.{name}: column '{column}' is the {role} already; remove the feature "
                f"({remedy})"
            )


def _field_names(schema: LogSchema) -> Iterator[str]:
    """Names that two fields would share."""
    taken = dict.fromkeys(_RESERVED, "the name of a field or column of every data set")
    for name in schema.labels or ():
        if not NAME.fullmatch(name):
            yield f"labels: '{name}' is no name; use letters, digits, _ and -"
        if name in taken:
            yield f"labels.{name}: '{name}' is {taken[name]}; call the label otherwise"
        taken[name] = "a label"
    taken |= dict.fromkeys(schema.time_parts, "one of the time_parts")
    for place, side in {"": schema, "users.": schema.users, "items.": schema.items}.items():
        for name in side.features if side else ():
            where = f"{place}features.{name}"
            remedy = "call the feature otherwise and give its column: {column: " + name + ", ...}"
            if not name or name.startswith("history_"):
                yield f"{where}: names that begin with history_ are taken; {remedy}"
            if name in taken:
                yield f"{where}: '{name}' is {taken[name]}; {remedy}"
            taken[name] = f"one of {place}features"

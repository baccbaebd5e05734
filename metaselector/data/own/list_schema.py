"""The part of a log's schema that says which rows were shown together, as a list."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from metaselector.data.interactions import Feature
from metaselector.data.own.yaml_file import SchemaSection

LABEL = "chosen"
"""Name of the label of a list with a column ``chosen``."""

CHOSEN, POSITION, LIST = "(chosen)", "(position)", "(list)"
"""Columns that exploding a list adds: label, place from 1, and the list's number."""


class Position(SchemaSection):
    """The place of a row in its list, as a categorical field.

    Example:
        >>> Position(at_prediction="unknown").name
        'position'
    """

    name: str = Field("position", min_length=1, description="name of the field")
    column: str | None = Field(
        None,
        min_length=1,
        description="column of the position; None: the place among the exploded entries, from 1",
    )
    at_prediction: Literal["known", "unknown"] = Field(
        "known", description="whether rows to predict have it; unknown gives them the unseen word"
    )


class ListColumns(SchemaSection):
    """Which rows belong to one list: rows of a user that were shown together, at one time.

    Example:
        >>> ListColumns.model_validate("search_id").column
        'search_id'
        >>> ListColumns(explode=("shown", "prices"), chosen="clicked").separator
        '|'
    """

    column: str | None = Field(
        None, min_length=1, description="column with one value for all of a user's rows of a list"
    )
    explode: tuple[str, ...] = Field(
        (),
        description="instead: columns that hold a list each, of one length, the items among them; "
        "each entry becomes a row",
    )
    separator: str = Field("|", min_length=1, description="separator of the entries of `explode`")
    chosen: str | None = Field(
        None,
        min_length=1,
        description="column with the item that the user chose from the exploded list, instead of "
        "labels",
    )
    position: Position | None = Field(None, description="make the place in the list a field")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        """Read ``list: search_id`` as ``list: {column: search_id}``."""
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _meant(self) -> ListColumns:
        if (self.column is None) == (not self.explode):
            found = "both" if self.explode else "neither"
            raise ValueError(f"give either column or explode, found {found}")
        if len(set(self.explode)) < len(self.explode):
            raise ValueError("explode: a column is given twice; remove one of them")
        for key in ("separator", "chosen"):
            if key in self.model_fields_set and not self.explode:
                raise ValueError(f"{key} has no effect without explode; remove it")
        if self.position and not self.position.column and not self.explode:
            raise ValueError(
                "position: give its column, as the rows of a list need not be in order"
            )
        return self

    @property
    def columns(self) -> dict[str, str]:
        """Columns of the file that only the list uses, by role."""
        named = {"list.column": self.column, "list.chosen": self.chosen}
        return {role: column for role, column in named.items() if column is not None}

    @property
    def position_column(self) -> dict[str, str]:
        """Column of the position by the name of its field; empty without a position."""
        if self.position is None:
            return {}
        return {self.position.name: self.position.column or POSITION}

    @property
    def position_feature(self) -> tuple[Feature, ...]:
        """The position as a feature of rows; empty without a position."""
        if self.position is None:
            return ()
        unknown = self.position.at_prediction == "unknown"
        return (Feature(self.position.name, unknown_at_prediction=unknown),)


def list_problems(
    found: ListColumns, ids: Mapping[str, str], features: Mapping[str, str], labels: Collection[str]
) -> Iterator[str]:
    """Yield problems of a list with the rest of its schema.

    Args:
        found: the list.
        ids: columns of ``user``, ``item`` and ``time.column``.
        features: column of each feature, by name.
        labels: which of ``labels`` and ``negatives`` the schema gives.
    """
    if "negatives" in labels:
        yield (
            "negatives: a list has its own, the rows that were shown and not chosen; remove "
            "negatives and give labels or list.chosen"
        )
    if "labels" in labels and found.chosen is not None:
        yield "labels: list.chosen is the label; remove one of the two"
    if found.explode and ids["item"] not in found.explode:
        yield f"list.explode: add '{ids['item']}', the column of the items"
    for role, column in {**ids, **found.columns}.items():
        if column in found.explode and role != "item":
            yield f"list.explode: column '{column}' is the {role}, which a whole list has in common"
    for name, column in features.items():
        if column in found.columns.values():
            yield (
                f"features.{name}: column '{column}' describes the list or the label; models must "
                "not see it; remove the feature"
            )

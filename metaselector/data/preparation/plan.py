"""The encoding plan: the schema, and the cells of users, items and rows under it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.data.ahead import each_ahead
from metaselector.data.encoded.dataset_files import ARRAYS, Writer
from metaselector.data.encoded.history import running_means
from metaselector.data.encoded.schema import PADDING_ID, Owner, Schema
from metaselector.data.interactions import Feature, InteractionTable, Ints, task_parents
from metaselector.data.preparation.fields import Cells, Fields
from metaselector.data.preparation.later_numbers import LaterNumbers
from metaselector.data.preparation.numbers import Numbers, number_cells
from metaselector.data.preparation.parts import Parts, Settings
from metaselector.data.preparation.row_columns import RowColumn, beside, row_columns_of
from metaselector.data.preparation.staging import Staged
from metaselector.data.preparation.staging_types import StagedRows
from metaselector.data.preparation.statistics import Past, Statistics, user_offsets
from metaselector.data.raw.spelling import doubts_of_words
from metaselector.data.splitting.dates import Dates


@dataclass(frozen=True)
class EncodingPlan:
    """How records become encoded rows.

    Attributes:
        schema: the fields.
        user_cells, item_cells: int32 ``[U, C_user]`` and ``[I, C_item]``, by code.
        history_ids: int32 ``[I]``, id of each item in the history field.
        profiles: float64 ``[I, G]``, each item's shares in the profile fields, side by side.
        row_columns: functions from records to cells ``[n]`` or ``[n, slots]``.
        numbers: checks of numeric features; those of rows come first, and are complete once the
            rows are written.
    """

    schema: Schema
    user_cells: Cells
    item_cells: Cells
    history_ids: Cells
    profiles: NDArray[np.float64]
    row_columns: tuple[RowColumn, ...]
    numbers: tuple[_Checked, ...]

    @classmethod
    def fit(
        cls,
        table: InteractionTable,
        staged: Staged,
        statistics: Statistics,
        named_users: Ints,
        settings: Settings,
        known: Schema | None,
        dates: Dates | None = None,
    ) -> EncodingPlan:
        """Fit the fields, or reuse known ones.

        Args:
            table: its users and items are in the order of their codes.
            staged: its staged rows.
            statistics: counts over *train*.
            named_users: int64 ``[U]``, *train* rows of users with their own id, else 0.
            settings: how to encode.
            known: reuse the fields of this schema; nothing is counted or fitted then.
            dates: ends of the windows of all users, if rows are split by date.
        """
        fields = Fields(settings.min_count, known)
        checks = [
            _Checked("row", feature, LaterNumbers.of(numbers))
            for feature, numbers in zip(
                (feature for feature in table.features if feature.kind == "numeric"),
                statistics.numbers,
                strict=True,
            )
        ]
        of_user = [fields.categorical("user", "user", staged.users, named_users)[:-1]]
        of_user += [
            _entity(fields, "user", feature, table.users, statistics.users, checks)
            for feature in table.user_features
        ]
        length = settings.history_length
        of_item, history_ids, profiles = _of_items(
            fields, table, staged, statistics, length, checks
        )
        row_columns = row_columns_of(fields, table, staged, statistics)
        schema = known or Schema(
            dataset=table.name,
            tasks=tuple(task.name for task in table.tasks),
            task_after=task_parents(table.tasks),
            label_threshold=settings.label_threshold,
            history_length=settings.history_length,
            min_count=settings.min_count,
            min_user_rows=settings.min_user_rows if settings.min_user_rows > 1 else None,
            windows=(*settings.windows,),
            cold_seed=settings.cold_seed,
            dates=dates,
            dates_given=True if settings.dates else None,
            lists=True if table.lists else None,
            min_user_lists=settings.min_user_lists if settings.min_user_lists > 1 else None,
            unknown_at_prediction=tuple(
                feature.name for feature in table.features if feature.unknown_at_prediction
            )
            or None,
            fields=tuple(fields.made),
        )
        return cls(
            schema, beside(of_user), beside(of_item, 1), history_ids,
            np.concatenate(profiles, axis=1), row_columns, tuple(checks),
        )  # fmt: skip

    def doubts(self, table: InteractionTable) -> Iterator[str]:
        """Yield warnings about the features of `table`, one line each; first write the rows."""
        features = (*table.features, *table.user_features, *table.item_features)
        words = {feature.name for feature in features if feature.kind != "numeric"}
        for field in self.schema.fields:
            for doubt in doubts_of_words(field.vocabulary) if field.name in words else ():
                yield f"feature '{field.name}' of {field.of}s: {doubt}"
        for side, feature, later in self.numbers:
            for doubt in later.doubts(feature.buckets):
                yield f"feature '{feature.name}' of {side}s {doubt}"


class _Checked(NamedTuple):
    """A numeric feature, whose it is, and the check of its numbers."""

    side: Owner
    feature: Feature
    later: LaterNumbers


def _of_items(
    fields: Fields,
    table: InteractionTable,
    staged: Staged,
    statistics: Statistics,
    length: int,
    checks: list[_Checked],
) -> tuple[list[Cells], Cells, list[NDArray[np.float64]]]:
    """Cells of the item fields, ids in the history field, and shares in the profile fields.

    Tabular data have none of these fields.
    """
    if table.tabular:
        return [], np.full(1, PADDING_ID, dtype=np.int32), [np.zeros((1, 0))]
    items = table.describe_items(staged.items)
    of_item = [fields.categorical("item", "item", staged.items, statistics.items)[:-1]]
    of_item += [
        _entity(fields, "item", feature, items, statistics.items, checks)
        for feature in table.item_features
    ]
    ids = fields.history("history_items", staged.items, statistics.history_items, length)
    profiles = [np.zeros((len(items), 0))]
    for feature, cells in zip(table.item_features, of_item[1:], strict=True):
        if feature.profile:
            entries = _lists(items[feature.name])
            profiles.append(fields.profile(feature.name, entries, cells, statistics.items))
    return of_item, ids, profiles


def _entity(
    fields: Fields,
    of: Owner,
    feature: Feature,
    known: pd.DataFrame,
    counts: Ints,
    checks: list[_Checked],
) -> Cells:
    """Cells of a feature of every user or item, which have `counts` rows in *train*.

    A numeric feature is added to `checks`.
    """
    column = known[feature.name]
    if feature.kind == "numeric":
        values = column.to_numpy(np.float64)
        numbers = Numbers()
        # Each user or item in train counts once, however many rows it has there.
        numbers.add(values[counts > 0], np.flatnonzero(counts))
        checks.append(_Checked(of, feature, LaterNumbers.of(numbers)))
        checks[-1].later.add(values)
        return number_cells(fields.numeric(feature.name, of, numbers, feature.buckets), values)
    if feature.kind == "multivalued":
        entries = _lists(column)
        return fields.multivalued(feature.name, of, entries, counts, feature.min_count)[:-1]
    codes, words = pd.factorize(column.fillna(""))
    total = np.bincount(codes, counts, len(words)).astype(np.int64)
    return fields.categorical(feature.name, of, list(words), total, feature.min_count)[codes]


def write_rows(
    writer: Writer,
    plan: EncodingPlan,
    users: Sequence[str],
    groups: Iterable[StagedRows],
    parts: Parts,
) -> None:
    """Write all arrays except the offsets of users; `users` are names by code."""
    writer.append("item_cells", plan.item_cells)
    writer.append("liked_offsets", np.zeros(1, dtype=np.int64))
    names: list[str] = []
    positives = 0

    def encoded(records: StagedRows) -> tuple[StagedRows, NDArray[np.int32], dict[str, Any]]:
        offsets = user_offsets(records)
        codes = records["user"][offsets[:-1]]
        past = Past.of(records, offsets, parts)
        found = {
            "task_labels": records["labels"],
            "timestamps": records["time"],
            "source_rows": records["row"],
            "items": records["item"],
            "cells": beside([column(records) for column in plan.row_columns], len(records)),
            "user_cells": plan.user_cells[codes],
            "history_sizes": past.size,
            "liked": plan.history_ids[past.items],
            "liked_offsets": past.offsets[1:],
            "profiles": running_means(past.offsets, plan.profiles[past.items]),
        }
        # Copied here, not while the others wait for the file.
        return records, codes, {
            name: np.ascontiguousarray(rows, ARRAYS[name]) for name, rows in found.items()
        }  # fmt: skip

    for records, codes, arrays in each_ahead(encoded, groups):
        names += [users[code] for code in codes.tolist()]
        for (*_, later), values in zip(plan.numbers, records["numbers"].T, strict=False):
            later.add(values)
        arrays["liked_offsets"] += positives
        positives += len(arrays["liked"])
        for name, rows in arrays.items():
            writer.append(name, rows)
    writer.finish(names)


def _lists(column: Iterable[Any]) -> list[tuple[str, ...]]:
    return [entry if isinstance(entry, tuple) else () for entry in column]

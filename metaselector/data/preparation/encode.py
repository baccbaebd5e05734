"""From the interaction table to a prepared data set.

Raw interactions are walked through three times, in bounded memory: read and staged on disk; sorted,
cleaned and counted; encoded. Fields, if the data has anything of them: user and what is known of
users; item and what is known of items; history items and profiles of the positives of the first
task; features of
the interactions and parts of their time. Vocabularies, and whatever else is fitted, come from the
*train* window only; any other word, and a missing one, takes its field's out-of-vocabulary id.
*Train* are early rows of all users, or all rows of some users (:mod:`.parts`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.data.dataset import EncodedDataset, Writer
from metaselector.data.history import running_means
from metaselector.data.interactions import Feature, InteractionTable, task_parents
from metaselector.data.preparation.ahead import ahead
from metaselector.data.preparation.cleaning import Cleaning
from metaselector.data.preparation.fields import Cells, Fields, number_cells
from metaselector.data.preparation.negatives import NegativeSampler
from metaselector.data.preparation.parts import Parts
from metaselector.data.preparation.row_columns import RowColumn, beside, row_columns_of
from metaselector.data.preparation.staging import Staged, StagedRows, stage, whole_users
from metaselector.data.preparation.statistics import Counts, Numbers, Past, Statistics, user_offsets
from metaselector.data.schema import PADDING_ID, Owner, Schema
from metaselector.data.split import DEFAULT_WINDOWS, Windows, boundaries
from metaselector.errors import DataError

HISTORY_LENGTH = 20
_STAGING = ".staging"


@dataclass(frozen=True)
class Settings:
    """How a table is encoded.

    Attributes:
        windows: in percent of each user's rows, or of the users.
        cold_seed: of the split of users; None splits each user's rows.
        label_threshold: of tasks that have none of their own.
        history_length: positives kept in the history field.
        min_count: words in fewer rows of *train* count as unseen.
        drop_short_users: drop users of a single row instead of refusing them.
    """

    windows: Windows = DEFAULT_WINDOWS
    label_threshold: float = 4.0
    history_length: int = HISTORY_LENGTH
    min_count: int = 1
    drop_short_users: bool = False
    cold_seed: int | None = None


def encode(
    table: InteractionTable, settings: Settings = Settings(), schema: Schema | None = None
) -> EncodedDataset:
    """Encode a small `table` into memory; for the rest see :func:`encode_to`."""
    with tempfile.TemporaryDirectory(prefix="metaselector-") as directory:
        encode_to(table, Path(directory), settings, schema)
        return EncodedDataset.load(Path(directory)).in_memory()


def encode_to(
    table: InteractionTable,
    directory: Path,
    settings: Settings = Settings(),
    schema: Schema | None = None,
) -> None:
    """Encode `table` into `directory`; rows come out sorted by (user, timestamp, original order).

    Args:
        table: what a reader returned; what is mended is added to its ``repairs``.
        directory: an existing, empty one. It holds the staged rows too while this runs.
        settings: how.
        schema: reuse the fields of this schema instead of fitting them on *train*.

    Raises:
        DataError: as reading, a user has a single row, or a window is empty.
        ValueError: `schema` was made with other settings.
    """
    if schema is not None:
        _check_schema(schema, settings)
    scratch = directory / _STAGING
    scratch.mkdir()
    staged = stage(table, scratch, settings.label_threshold)
    parts = Parts.of(settings.windows, staged.users, settings.cold_seed, not table.tabular)
    statistics = Statistics.empty(table, staged)
    repairs: list[str] = []
    for records in ahead(_cleaned(table, staged, settings, repairs)):
        statistics.add(table, records, parts, settings.history_length)
    table.repairs.extend(repairs)
    if settings.cold_seed is None:
        _check_windows(table, statistics.user_offsets, settings.windows)
    named = statistics.users * parts.named
    plan = _Plan.fit(table, staged, statistics, named, settings, schema)
    with Writer(directory, plan.schema) as writer:
        writer.append("user_offsets", statistics.user_offsets)
        groups = ahead(_cleaned(table, staged, settings, []))
        _write(writer, plan, staged.users, groups, parts)
    shutil.rmtree(scratch)


def _cleaned(
    table: InteractionTable, staged: Staged, settings: Settings, repairs: list[str]
) -> Iterator[StagedRows]:
    """Records of whole users, the same ones each time; what is mended goes into `repairs`."""
    # Groups are not what a user brought: nobody could mend a short one.
    cleaning = Cleaning(table.source, settings.drop_short_users or table.tabular)
    sampler = NegativeSampler(table.negatives, staged.item_rows) if table.negatives else None
    for records in whole_users(staged):
        records = cleaning.clean(records)
        yield sampler.add(records) if sampler else records
    repairs += cleaning.repairs(staged.users, staged.lines)
    if sampler and sampler.short:
        repairs.append(
            f"{table.source}: {sampler.short:,} negatives were not sampled, because their users "
            "have seen nearly every item"
        )


@dataclass(frozen=True)
class _Plan:
    """How every record becomes a row.

    Attributes:
        user_cells, item_cells: int32, of every user and item by code.
        history_ids: int32 ``[I]``, ids of the items in the history field.
        profiles: float64 ``[I, G]``, each item's shares in the profile fields, side by side.
        row_columns: each makes cells ``[n]`` or ``[n, slots]`` of records.
    """

    schema: Schema
    user_cells: Cells
    item_cells: Cells
    history_ids: Cells
    profiles: NDArray[np.float64]
    row_columns: tuple[RowColumn, ...]

    @classmethod
    def fit(
        cls,
        table: InteractionTable,
        staged: Staged,
        statistics: Statistics,
        named_users: Counts,
        settings: Settings,
        known: Schema | None,
    ) -> _Plan:
        """Make the fields; `named_users` are the rows of users that get an id of their own."""
        fields = Fields(settings.min_count, known)
        users = table.users.reindex(staged.users)
        of_user = [fields.categorical("user", "user", staged.users, named_users)[:-1]]
        of_user += [
            _entity(fields, "user", feature, users, statistics.users)
            for feature in table.user_features
        ]
        length = settings.history_length
        of_item, history_ids, profiles = _of_items(fields, table, staged, statistics, length)
        row_columns = row_columns_of(fields, table, staged, statistics)
        schema = known or Schema(
            dataset=table.name,
            tasks=tuple(task.name for task in table.tasks),
            task_after=task_parents(table.tasks),
            label_threshold=settings.label_threshold,
            history_length=settings.history_length,
            min_count=settings.min_count,
            windows=(*settings.windows,),
            cold_seed=settings.cold_seed,
            fields=tuple(fields.made),
        )
        return cls(
            schema, beside(of_user), beside(of_item, 1), history_ids,
            np.concatenate(profiles, axis=1), row_columns,
        )  # fmt: skip


def _of_items(
    fields: Fields, table: InteractionTable, staged: Staged, statistics: Statistics, length: int
) -> tuple[list[Cells], Cells, list[NDArray[np.float64]]]:
    """Cells of the items' fields, their ids in the history field, and shares in the profiles.

    A tabular table has none of these fields.
    """
    if table.tabular:
        return [], np.full(1, PADDING_ID, dtype=np.int32), [np.zeros((1, 0))]
    items = table.describe_items(staged.items).reindex(staged.items)
    of_item = [fields.categorical("item", "item", staged.items, statistics.items)[:-1]]
    of_item += [
        _entity(fields, "item", feature, items, statistics.items) for feature in table.item_features
    ]
    ids = fields.history("history_items", staged.items, statistics.history_items, length)
    profiles = [np.zeros((len(items), 0))]
    for feature, cells in zip(table.item_features, of_item[1:], strict=True):
        if feature.profile:
            entries = _lists(items[feature.name])
            profiles.append(fields.profile(feature.name, entries, cells, statistics.items))
    return of_item, ids, profiles


def _entity(
    fields: Fields, of: Owner, feature: Feature, known: pd.DataFrame, counts: Counts
) -> Cells:
    """Cells of what is known of every user or item; `counts` are their rows of *train*."""
    column = known[feature.name]
    if feature.kind == "numeric":
        values = column.to_numpy(np.float64)
        numbers = Numbers()
        # Each that occurs in train counts once, however many rows it has there.
        numbers.add(np.where(counts > 0, values, np.nan), np.zeros(len(values), dtype=np.int64))
        return number_cells(fields.numeric(feature.name, of, numbers, feature.buckets), values)
    if feature.kind == "multivalued":
        entries = _lists(column)
        return fields.multivalued(feature.name, of, entries, counts, feature.min_count)[:-1]
    codes, words = pd.factorize(column.fillna(""))
    total = np.bincount(codes, counts, len(words)).astype(np.int64)
    return fields.categorical(feature.name, of, list(words), total, feature.min_count)[codes]


def _write(
    writer: Writer,
    plan: _Plan,
    users: Sequence[str],
    groups: Iterable[StagedRows],
    parts: Parts,
) -> None:
    """Write all but the offsets of users; `users` are the strings of their codes."""
    writer.append("item_cells", plan.item_cells)
    writer.append("liked_offsets", np.zeros(1, dtype=np.int64))
    names: list[str] = []
    liked = 0
    for records in groups:
        offsets = user_offsets(records)
        codes = records["user"][offsets[:-1]]
        names += [users[code] for code in codes.tolist()]
        past = Past.of(records, offsets, parts)
        writer.append("task_labels", records["labels"])
        writer.append("timestamps", records["time"])
        writer.append("source_rows", records["row"])
        writer.append("items", records["item"])
        writer.append("cells", beside([c(records) for c in plan.row_columns], len(records)))
        writer.append("user_cells", plan.user_cells[codes])
        writer.append("history_sizes", past.size)
        writer.append("liked", plan.history_ids[past.items])
        writer.append("liked_offsets", liked + past.offsets[1:])
        writer.append("profiles", running_means(past.offsets, plan.profiles[past.items]))
        liked += len(past.items)
    writer.finish(names)


def _lists(column: Iterable[Any]) -> list[tuple[str, ...]]:
    return [entry if isinstance(entry, tuple) else () for entry in column]


def _check_schema(schema: Schema, settings: Settings) -> None:
    for name, made, wanted in (
        ("windows", schema.windows, (*settings.windows,)),
        ("cold_seed", schema.cold_seed, settings.cold_seed),
        ("label_threshold", schema.label_threshold, settings.label_threshold),
        ("history_length", schema.history_length, settings.history_length),
    ):
        if made != wanted:
            raise ValueError(f"the schema was made with {name}={made}, not {wanted}")


def _check_windows(table: InteractionTable, offsets: Counts, windows: Windows) -> None:
    ends = {"train": (0, windows.train), "valid": (windows.train, windows.valid)}
    for name, (start, stop) in {**ends, "test": (windows.valid, 100)}.items():
        if (boundaries(offsets, start) == boundaries(offsets, stop)).all():
            raise DataError(
                table.source,
                f"the {name} window ({start}-{stop} % of each user's rows) is empty; "
                "users need more rows, or the split other percentages",
            )

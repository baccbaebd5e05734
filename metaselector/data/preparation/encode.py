"""Encode an interaction table into a prepared data set.

Three passes, in bounded memory: read and stage on disk; sort, clean and count; encode. The fields,
as far as the data have them, are: user and user features; item and item features; history items and
profiles of the first task's positives; features of interactions and parts of their time.
Vocabularies, and everything else that is fitted, come from *train* only; other words, and missing
ones, take their field's out-of-vocabulary id. *Train* is the early rows of each user, all rows of
some users, or all rows before a date, for which another pass finds the date (:mod:`.parts`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from metaselector.common.errors import DataError
from metaselector.data.ahead import each_ahead
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.dataset_files import Writer
from metaselector.data.encoded.schema import Schema
from metaselector.data.interactions import InteractionTable
from metaselector.data.preparation.cleaning import Cleaning, ShortUsers
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.global_dates import check_times, find_dates
from metaselector.data.preparation.lists import check_times as check_list_times
from metaselector.data.preparation.negatives import NegativeSampler
from metaselector.data.preparation.origin import save_origin
from metaselector.data.preparation.parts import DEFAULT_SETTINGS, Parts, Settings
from metaselector.data.preparation.plan import EncodingPlan, write_rows
from metaselector.data.preparation.staging import Staged, files_of_users, read_users, stage
from metaselector.data.preparation.staging_types import StagedRows
from metaselector.data.preparation.statistics import Statistics
from metaselector.data.preparation.titles import save_titles
from metaselector.data.raw.spelling import doubts_of_names
from metaselector.data.splitting.dates import Dates
from metaselector.data.splitting.windows import Windows, boundaries

_STAGING = ".staging"


def encode(
    table: InteractionTable, settings: Settings = DEFAULT_SETTINGS, schema: Schema | None = None
) -> EncodedDataset:
    """Encode a small `table` in memory; see :func:`encode_to` for the arguments."""
    with tempfile.TemporaryDirectory(prefix="metaselector-") as directory:
        encode_to(table, Path(directory), settings, schema)
        return EncodedDataset.load(Path(directory), verify=False).in_memory()


def encode_to(
    table: InteractionTable,
    directory: Path,
    settings: Settings = DEFAULT_SETTINGS,
    schema: Schema | None = None,
) -> None:
    """Encode `table` into `directory`, sorted by (user, timestamp, original order).

    Args:
        table: the interaction table of a reader; its ``repairs`` and ``notes`` are extended.
        directory: an existing, empty directory, which also holds the staged rows meanwhile.
        settings: how to encode.
        schema: reuse the fields of this schema instead of fitting them on *train*.

    Raises:
        DataError: reading fails, a user has a single row (unless rows are split by date), a window
            is empty, or rows to be split by date have no real times.
        ValueError: `schema` was made with different settings.
    """
    if schema is not None:
        _check_schema(schema, settings)
    if settings.by_date:
        check_times(table)
    if settings.min_user_lists > 1 and not table.lists:
        raise DataError(table.source, "has no lists; set data.min_user_lists=1")
    scratch = directory / _STAGING
    scratch.mkdir()
    staged = stage(table, scratch, settings.label_threshold)
    table.repairs.extend(_doubtful_names(table, staged))
    dates, train_rows = None, len(staged)  # of other splits, train is known after counting
    if settings.by_date:
        given = settings.dates if schema is None or schema.dates is None else Dates(*schema.dates)
        groups = _cleaned(table, staged, settings, [], [])
        dates, train_rows = find_dates(table, groups, scratch, settings.windows, given)
    parts = Parts.of(settings.windows, staged.users, settings.cold_seed, not table.tabular, dates)
    statistics = Statistics.empty(table, staged, train_rows)
    repairs: list[str] = []
    notes: list[str] = []
    for records in _cleaned(table, staged, settings, repairs, notes):
        statistics.add(table, records, parts, settings.history_length)
    table.repairs.extend(repairs)
    table.notes.extend(notes)
    if dates is None and settings.cold_seed is None:
        _check_windows(table, statistics, settings.windows)
    named = statistics.users * parts.named
    table = _described(table, staged)
    plan = EncodingPlan.fit(table, staged, statistics, named, settings, schema, dates)
    with Writer(directory, plan.schema) as writer:
        writer.append("user_offsets", statistics.user_offsets)
        if statistics.list_offsets is not None:
            writer.append("list_offsets", statistics.list_offsets)
        groups = _cleaned(table, staged, settings, [], [])
        write_rows(writer, plan, staged.users, groups, parts)
    if schema is None:
        table.repairs.extend(f"{table.source}: {doubt}" for doubt in plan.doubts(table))
    FittedEncoder.of(plan.schema, table, staged.items).save(directory)
    if not table.tabular:
        save_titles(table.describe_items(staged.items), directory)
    if table.origin is not None:
        save_origin(table.origin, directory)
    shutil.rmtree(scratch)


def _doubtful_names(table: InteractionTable, staged: Staged) -> Iterator[str]:
    names = {"user": (staged.users, staged.user_rows), "item": (staged.items, staged.item_rows)}
    for what, (words, rows) in names.items() if not table.tabular else ():
        for doubt in doubts_of_names(words, rows, what):
            yield f"{table.source} (column {table.columns.get(what, what)}): {doubt}"


def _described(table: InteractionTable, staged: Staged) -> InteractionTable:
    """`table` with the features of the users and items that occur, in the order of their codes."""
    users = table.users.reindex(staged.users)
    if table.tabular:
        return replace(table, users=users)
    items = table.describe_items(staged.items).reindex(staged.items)
    return replace(table, users=users, describe_items=lambda names: items)


def _cleaned(
    table: InteractionTable,
    staged: Staged,
    settings: Settings,
    repairs: list[str],
    notes: list[str],
) -> Iterator[StagedRows]:
    """Yield cleaned records of whole users, the same every time; extend `repairs` and `notes`."""
    # Groups of tabular data are derived, so their owner could not repair short ones.
    short: ShortUsers = "drop" if settings.drop_short_users or table.tabular else "refuse"
    if settings.by_date:
        short = "keep"

    def counting() -> Cleaning:
        return Cleaning(table.source, short, settings.min_user_rows, settings.min_user_lists)

    def read_and_clean(files: list[Path]) -> tuple[StagedRows, Cleaning]:
        records, counts = read_users(staged, files), counting()
        if table.lists:
            check_list_times(table.source, records, staged.lines.of)
        return counts.clean(records), counts

    cleaning = counting()
    sampler = NegativeSampler(table.negatives, staged.item_rows) if table.negatives else None
    for records, counts in each_ahead(read_and_clean, files_of_users(staged)):
        cleaning.add(counts)
        yield sampler.add(records) if sampler else records
    repairs += cleaning.repairs(staged.users, staged.lines)
    notes += [] if table.tabular else cleaning.notes()
    if sampler and sampler.short:
        repairs.append(
            f"{table.source}: {sampler.short:,} negatives were not sampled, because their users "
            "have seen nearly every item"
        )


def _check_schema(schema: Schema, settings: Settings) -> None:
    for name, made, wanted in (
        ("windows", schema.windows, (*settings.windows,)),
        ("cold_seed", schema.cold_seed, settings.cold_seed),
        ("by_date", schema.dates is not None, settings.by_date),
        ("dates", schema.dates if schema.dates_given else None, settings.dates),
        ("label_threshold", schema.label_threshold, settings.label_threshold),
        ("history_length", schema.history_length, settings.history_length),
    ):
        if made != wanted:
            raise ValueError(f"the schema was made with {name}={made}, not {wanted}")


def _check_windows(table: InteractionTable, statistics: Statistics, windows: Windows) -> None:
    offsets, lists = statistics.user_offsets, statistics.list_offsets
    ends = {"train": (0, windows.train), "valid": (windows.train, windows.valid)}
    for name, (start, stop) in {**ends, "test": (windows.valid, 100)}.items():
        first, end = (boundaries(offsets, percent, None, lists) for percent in (start, stop))
        if (first == end).all():
            rows = "rows" if lists is None else "lists"
            raise DataError(
                table.source,
                f"the {name} window ({start}-{stop} % of each user's rows) is empty; "
                f"provide more {rows} per user, or change the percentages of the split",
            )

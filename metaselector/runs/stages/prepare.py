"""Turn raw files into a prepared data set in the run's directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.common.files import atomic_directory
from metaselector.common.streams import tell
from metaselector.config import Config, change_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.fetch import fetch
from metaselector.data.interactions import InteractionTable, Task
from metaselector.data.microseconds import as_text
from metaselector.data.own.own_log import read_log
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.parts import Settings
from metaselector.data.raw.frames import RawTable
from metaselector.data.registry import read
from metaselector.data.splitting.by_date import ByDate
from metaselector.data.splitting.cold import Cold
from metaselector.data.splitting.dates import Dates, given_dates
from metaselector.data.splitting.windows import (
    Windows,
    boundaries,
    rows_of,
    user_places,
    window_rows,
)
from metaselector.models.registry import check_names
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config

_USERS_AT_ONCE = 2**14


def prepare_run(
    run: Run,
    source: Path | None,
    data_directory: Path,
    tables: Mapping[str, RawTable] | None = None,
) -> None:
    """Prepare the run's data in its directory, from `tables`, `source` or else a download."""
    check_names(run.config)  # before anything takes time
    if source is None and tables is None:
        source = fetch(run.config.dataset, data_directory)
    prepare(run.config, source, run.data_directory, tables)
    save_config(run)


def prepare(
    config: Config,
    source: Path | None,
    directory: Path,
    tables: Mapping[str, RawTable] | None = None,
) -> None:
    """Read `source`, encode it with the settings of `config`, and save it to `directory`.

    If there is no source, `tables` are the rows, and the data set of `config` is their schema.

    Repaired rows, and users with too few rows, are counted on standard error.

    Raises:
        DataError: reading or encoding fails, all labels of a task are equal in *train* or in
            *test*, or rows to be split by date have no real times.
        UserError: there are too few users, or too few with enough rows, to test new users.
    """
    if source is None:
        table = read_log(Path(config.dataset), tables=tables)
    else:
        table = read(config.dataset, source)
    split = config.percentages
    windows = Windows(split.early, split.train, split.valid)
    settings = Settings(
        windows=windows,
        label_threshold=config.data.label_threshold,
        history_length=config.data.history_length,
        min_count=config.data.min_count,
        drop_short_users=config.data.drop_short_users,
        min_user_rows=config.data.min_user_rows,
        min_user_lists=config.data.min_user_lists,
        cold_seed=config.cold_seed,
        by_date=config.by_date,
        dates=given_dates(config),
    )
    with atomic_directory(directory) as target:
        encode_to(table, target, settings)
        for repair in table.repairs:
            tell(f"warning: {repair}")
        for note in table.notes:
            tell(f"note: {note}")
        if table.origin is not None:
            tell(f"note: {table.origin.title}: {table.origin.limit}")
        dataset = EncodedDataset.load(target)
        _check_labels(table, dataset, settings)
        _count_long_lists(dataset, config)
        config = change_config(config, {"evaluate.max_users": None})  # all of them are counted
        if config.protocol == "cold":
            _count_cold_users(dataset, config)
        elif config.by_date:
            _count_dated_users(dataset, config)
        else:
            _count_short_users(dataset, windows)


def _check_labels(table: InteractionTable, dataset: EncodedDataset, settings: Settings) -> None:
    """Refuse data with one class only: *train* could teach nothing, *test* would have no AUC."""
    windows = settings.windows
    for name, edges in {"train": (0, windows.train), "test": (windows.valid, 100)}.items():
        rows, positives = _window_counts(dataset, edges, settings)
        for task, n, positive in zip(table.tasks, rows.tolist(), positives.tolist(), strict=True):
            if positive in (0, n):
                kind = "positive" if positive else "negative"
                of = "window" if settings.cold_seed is None else "users"
                observed = "rows" if task is table.tasks[0] else "observed rows"
                problem = f"all {n:,} {observed} of the {name} {of} are {kind} "
                problem += _what_is_positive(task, settings.label_threshold)
                raise DataError(table.source, problem, column=task.name)


def _window_counts(
    dataset: EncodedDataset, edges: tuple[int, int], settings: Settings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count observed rows and positives of a window of rows or users, int64 ``[T]`` each.

    It reads the labels of some users at a time, which bounds memory.
    """
    rows = positives = np.zeros(len(dataset.schema.tasks), dtype=np.int64)
    for first in range(0, dataset.num_users, _USERS_AT_ONCE):
        offsets = dataset.user_offsets[first : first + _USERS_AT_ONCE + 1]
        labels = dataset.task_labels[offsets[0] : offsets[-1]]
        if dataset.schema.dates is not None:
            dates = Dates(*dataset.schema.dates)
            times = dataset.timestamps[offsets[0] : offsets[-1]]
            inside = np.flatnonzero(times < dates.train if not edges[0] else times >= dates.valid)
        elif settings.cold_seed is None:
            inside = window_rows(offsets - offsets[0], *edges, _lists_of(dataset, offsets))
        else:
            names = dataset.user_names[first : first + _USERS_AT_ONCE]
            places = user_places(names, settings.cold_seed)
            users = np.flatnonzero((places >= edges[0]) & (places < edges[1]))
            inside = rows_of(offsets - offsets[0], users)
        rows = rows + (~np.isnan(labels[inside])).sum(axis=0)
        positives = positives + (labels[inside] == 1).sum(axis=0)
    return rows, positives


def _lists_of(dataset: EncodedDataset, offsets: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Starts of the lists of some users, counted from their first row."""
    lists = dataset.list_offsets
    if lists is None:
        return None
    inside = (lists >= offsets[0]) & (lists <= offsets[-1])
    return np.asarray(lists[inside]) - offsets[0]


def _what_is_positive(task: Task, label_threshold: float) -> str:
    if task.threshold is None:
        return (
            f"(positive is a {task.name} of {label_threshold:g} or more); choose another "
            "data.label_threshold"
        )
    return f"(positive is a {task.name} of {task.threshold:g} or more); choose another label"


def _count_long_lists(dataset: EncodedDataset, config: Config) -> None:
    """Print how many lists do not fit into a support set, if any."""
    if dataset.list_offsets is None:
        return
    cold = config.protocol == "cold"
    size = config.cold.support_sizes[-1] if cold else config.adapt.support_size
    rows = np.diff(dataset.list_offsets)
    if (rows > size).any():
        key = "cold.support_sizes" if cold else "adapt.support_size"
        tell(
            f"note: {(rows > size).sum():,} of {len(rows):,} lists are longer than {key} ({size}); "
            f"supports hold whole lists, so users do not adapt to these; set {key} to several "
            "lists",
        )


def _count_cold_users(dataset: EncodedDataset, config: Config) -> None:
    """Print how many users each split has, and how many have too few rows for a support size."""
    cold, protocol = config.cold, Cold(dataset, config)
    early, learners = protocol.users(0, cold.early), protocol.users(cold.early, cold.train)
    valid, test = protocol.users(cold.train, cold.valid), protocol.users(cold.valid, 100)
    tell(
        f"note: base models train on {len(early):,} users, meta-training uses {len(learners):,}, "
        f"validation {len(valid):,} and the test {len(test):,}",
    )
    for evaluation_split in protocol.evaluation_splits:
        size = evaluation_split.test.support.shape[1]
        for name, users, kept in (
            ("validation", valid, evaluation_split.valid),
            ("test", test, evaluation_split.test),
        ):
            short = len(users) - len(kept.users)
            if short:
                tell(
                    f"note: {short:,} of {len(users):,} {name} users have no rows after their "
                    f"first {size}; they are left out for support size {size}",
                )


def _count_dated_users(dataset: EncodedDataset, config: Config) -> None:
    """Print the dates, and the users and rows of each window, known and new."""
    protocol = ByDate(dataset, config)
    sizes = protocol.dates.window_sizes(dataset.timestamps)
    early, train, valid = map(as_text, protocol.dates)
    tell(
        f"note: early ends at {early} ({sizes[0]:,} rows before), train at {train} ({sizes[1]:,} "
        f"more), valid at {valid} ({sizes[2]:,} more), and {sizes[3]:,} rows are the test"
    )
    for name, edges in {
        "meta-training": ("early", "train"),
        "validation": ("train", "valid"),
        "the test": ("valid", "test"),
    }.items():
        known, new = (len(users) for users in protocol.arrivals(*edges))
        others = dataset.num_users - known - new
        tell(
            f"note: {name} has {known:,} known users and {new:,} whose first row lies in its "
            f"window; {others:,} of {dataset.num_users:,} users have no row in it and are left out"
        )


def _count_short_users(dataset: EncodedDataset, windows: Windows) -> None:
    """Print how many users have too few rows for a window, which then lacks these users."""
    edges = {"early to train": (windows.early, windows.train), "valid": windows[1:]}
    for name, (start, stop) in edges.items():
        first, end = (
            boundaries(dataset.user_offsets, percent, None, dataset.list_offsets)
            for percent in (start, stop)
        )
        empty = int((first == end).sum())
        if empty:
            tell(
                f"note: {empty:,} of {dataset.num_users:,} users have too few rows for the window "
                f"{name} ({start}-{stop} %)",
            )

"""Raw files to a prepared data set in the run's directory."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from metaselector.config import Config
from metaselector.data.dataset import EncodedDataset
from metaselector.data.encode import encode
from metaselector.data.interactions import InteractionTable
from metaselector.data.registry import read
from metaselector.data.split import Windows, boundaries, window_rows
from metaselector.errors import DataError


def prepare(config: Config, source: Path, directory: Path) -> None:
    """Read `source`, encode it with the settings of `config`, and save it to `directory`.

    What reading mended is counted on standard error, and so are users with few rows.

    Raises:
        DataError: as reading and encoding, or all labels of *train* or of *test* are the same.
    """
    table = read(config.dataset, source)
    for repair in table.repairs:
        print(f"warning: {repair}", file=sys.stderr)
    if config.data.drop_short_users:
        table = _without_short_users(table)
    windows = Windows(config.split.early, config.split.train, config.split.valid)
    dataset = encode(
        table,
        windows,
        label_threshold=config.data.label_threshold,
        history_length=config.data.history_length,
    )
    _check_labels(table, dataset, windows, config.data.label_threshold)
    _count_short_users(dataset, windows)
    dataset.save(directory)


def _check_labels(
    table: InteractionTable, dataset: EncodedDataset, windows: Windows, threshold: float
) -> None:
    """Without both classes there is nothing to learn in *train*, and no AUC in *test*."""
    for name, edges in {"train": (0, windows.train), "test": (windows.valid, 100)}.items():
        labels = dataset.labels[window_rows(dataset.user_offsets, *edges)]
        if (labels == labels[0]).all():
            kind = "positive" if labels[0] else "negative"
            problem = (
                f"all {len(labels):,} rows of the {name} window are {kind} (positive is a rating "
                f"of {threshold:g} or more); choose another data.label_threshold"
            )
            raise DataError(table.source, problem, column="rating")


def _count_short_users(dataset: EncodedDataset, windows: Windows) -> None:
    """Say how many users have too few rows for a window; the others carry it."""
    edges = {"early to train": (windows.early, windows.train), "valid": windows[1:]}
    for name, (start, stop) in edges.items():
        first, end = (boundaries(dataset.user_offsets, percent) for percent in (start, stop))
        empty = int((first == end).sum())
        if empty:
            print(
                f"note: {empty:,} of {dataset.num_users:,} users have too few rows for one in the "
                f"window {name} ({start}-{stop} %)",
                file=sys.stderr,
            )


def _without_short_users(table: InteractionTable) -> InteractionTable:
    rows = table.interactions
    counts = rows["user"].map(rows["user"].value_counts())
    return replace(table, interactions=rows[counts > 1])

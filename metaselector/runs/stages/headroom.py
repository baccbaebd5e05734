"""Measure the headroom of a run's base models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from metaselector.common.errors import UserError, nearest
from metaselector.common.progress import Progress
from metaselector.data.splitting.episodes import NO_ROW
from metaselector.evaluate.alignment import align
from metaselector.evaluate.headroom_table import headroom_table, support_quantiles
from metaselector.evaluate.predictions import load_predictions
from metaselector.runs.run import Run

WINDOWS = {"test": "predictions.parquet", "valid": "valid_predictions.parquet"}


def measure_headroom(
    run: Run, seed: int | None, n_resamples: int, progress: Progress
) -> Iterator[tuple[Path, pd.DataFrame]]:
    """Measure headroom on *test* and *valid*, from the predictions that evaluation has written.

    Args:
        run: an evaluated run.
        seed: seed of the models; None for the run's first.
        n_resamples: resamples of users for the intervals.
        progress: shows how much is done.

    Yields:
        Each folder with predictions, one per task and results table, and its table: that of
        :func:`~metaselector.evaluate.headroom_table.headroom_table`, with quantiles of test users'
        support sizes.

    Raises:
        UserError: there is no such seed, or a window has too few rows.
        DataError: the run was not evaluated, or a file is damaged.
    """
    seeds = run.config.seeds
    if seed is not None and seed not in seeds:
        raise UserError(f"seed {seed}: {nearest(str(seed), [str(known) for known in seeds])}")
    chosen = seeds[0] if seed is None else seed
    models = list(run.config.base_models)
    splits = {each.folder: each for each in (*run.protocol.evaluation_splits, run.protocol.overall)}
    folders = [
        (run.directory / task / folder, split)
        for folder, split in splits.items()
        for task in run.task_folders
    ]
    with progress.task("headroom", len(folders) * len(WINDOWS)) as advance:
        for folder, split in folders:
            tables = []
            for window, name in WINDOWS.items():
                table = load_predictions(folder / name)
                mine = table[(table["seed"] == chosen) & table["model"].isin(models)]
                generator = np.random.default_rng(chosen)
                tables.append(headroom_table(align(mine), window, generator, n_resamples))
                advance()
            every = pd.Series((split.test.support != NO_ROW).sum(axis=1))
            sizes = every.groupby(split.test.users).max().to_numpy()  # of their last episode
            tables.append(support_quantiles(sizes, "test", tables[0]["models"].iloc[0]))
            yield folder, pd.concat(tables, ignore_index=True)

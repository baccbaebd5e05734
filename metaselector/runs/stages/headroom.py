"""Measure the headroom of a run's base models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from metaselector.common.errors import DataError, UserError, nearest
from metaselector.common.progress import Advance, Progress
from metaselector.data.splitting.episodes import NO_ROW
from metaselector.data.splitting.protocol import EvaluationSplit, Window
from metaselector.evaluate.alignment import Aligned
from metaselector.evaluate.headroom_table import headroom_table, over_seeds, support_quantiles
from metaselector.evaluate.table_file import load_table
from metaselector.runs.run import Run
from metaselector.runs.stages.base_outputs import base_probabilities

_MEND = "run `metaselector evaluate` again"
WINDOWS = {"test": "predictions.parquet", "valid": "valid_predictions.parquet"}


class HeadroomTable(NamedTuple):
    """A table of headroom: one for each task and results table.

    Attributes:
        folder: where the results are.
        split: the rows.
        task: position of the task.
    """

    folder: Path
    split: EvaluationSplit
    task: int


def headroom_tables(run: Run) -> list[HeadroomTable]:
    """The tables of headroom that a run has."""
    splits = {each.folder: each for each in (*run.protocol.evaluation_splits, run.protocol.overall)}
    return [
        HeadroomTable(run.directory / folder / split.folder, split, task)
        for split in splits.values()
        for task, folder in enumerate(run.task_folders)
    ]


def measure_headroom(
    run: Run, seed: int | None, n_resamples: int, progress: Progress
) -> Iterator[tuple[Path, pd.DataFrame]]:
    """Measure headroom on *test* and *valid*, and average it over seeds.

    An evaluated run has the predictions. Otherwise the base models predict, so it is enough that
    the run was pretrained or, if all base models are files of scores, prepared.

    Args:
        run: a run.
        seed: seed of the models; None for all of the run's.
        n_resamples: resamples of users for the intervals.
        progress: shows how much is done.

    Yields:
        Each folder with predictions, one per task and results table, and its table: that of
        :func:`~metaselector.evaluate.headroom_table.over_seeds`, with quantiles of test users'
        support sizes.

    Raises:
        UserError: there is no such seed, or a window has too few rows.
        DataError: a file is missing or damaged.
        CheckpointError: a base model has not been trained.
    """
    seeds = run.config.seeds
    if seed is not None and seed not in seeds:
        raise UserError(f"seed {seed}: {nearest(str(seed), [str(known) for known in seeds])}")
    chosen = measured_seeds(run) if seed is None else (seed,)
    places = headroom_tables(run)
    with progress.task("headroom", len(places) * len(WINDOWS) * len(chosen)) as advance:
        for place in places:
            yield place.folder, measure_table(run, place, chosen, n_resamples, advance)


def measured_seeds(run: Run) -> tuple[int, ...]:
    """The run's seeds, or its first if all base models are files: their scores are always equal."""
    seeds = tuple(run.config.seeds)
    return seeds[:1] if all(model.scores for model in run.config.base_models.values()) else seeds


def measure_table(
    run: Run, place: HeadroomTable, seeds: Sequence[int], n_resamples: int, advance: Advance
) -> pd.DataFrame:
    """Measure one table as :func:`measure_headroom` does; `advance` counts windows and seeds."""
    folder, split, task = place
    tables = []
    for window in WINDOWS:
        of_seeds = {}
        for seed in seeds:
            aligned = _predictions(run, folder, split, task, window, seed)
            generator = np.random.default_rng(seed)
            of_seeds[seed] = headroom_table(aligned, window, generator, n_resamples)
            advance()
        tables.append(over_seeds(of_seeds))
    every = pd.Series((split.test.support != NO_ROW).sum(axis=1))
    sizes = every.groupby(split.test.users).max().to_numpy()  # of their last episode
    tables.append(support_quantiles(sizes, "test", tables[0]["models"].iloc[0]))
    return pd.concat(tables, ignore_index=True)


def _predictions(
    run: Run, folder: Path, split: EvaluationSplit, task: int, window: str, seed: int
) -> Aligned:
    """Predictions of *test* by the refitted base models, or of *valid* by those of *train*."""
    names = list(run.config.base_models)
    path = folder / WINDOWS[window]
    if path.exists():
        table = load_table(path).only({name: name for name in names})
        if seed not in table.seeds:
            raise DataError(path, f"has no predictions of seed {seed}; {_MEND}")
        return table.seeds[seed]
    on_test = window == "test"
    trained_on: Window = "full" if on_test else "train"
    episodes = split.test if on_test else split.valid
    rows, limits = episodes.flat("query")
    labels = run.dataset.task_labels[rows, task]
    seen = ~np.isnan(labels)
    base = base_probabilities(run, trained_on, seed, rows, limits)[seen, :, task]
    users = np.asarray(run.dataset.user_names, dtype=object)[run.dataset.users[rows[seen]]]
    p = {name: base[:, k] for k, name in enumerate(names)}
    return Aligned(users, labels[seen].astype(np.float64), p)

"""Keep the headroom of a run and its figure in the run's directory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from metaselector.common.errors import DataError, UserError
from metaselector.common.files import write_text
from metaselector.common.progress import Progress
from metaselector.report.figures.headroom import headroom as draw
from metaselector.report.figures.style import save
from metaselector.report.headroom import HEADROOM_FIGURE, HEADROOM_FILE
from metaselector.runs.run import Run
from metaselector.runs.stages.headroom import (
    WINDOWS,
    headroom_tables,
    measure_table,
    measured_seeds,
)

RESAMPLES = 1000
"""Resamples of users by default."""
MOST_ROWS = 500_000
"""Test rows times seeds that are measured unasked; they take less than a minute."""


def write_headroom(path: Path, table: pd.DataFrame, figures: Iterable[Path]) -> None:
    """Write a table of headroom as CSV, and draw it to PNG files.

    Args:
        path: such as ``headroom.csv``.
        table: of :func:`~metaselector.evaluate.headroom_table.headroom_table` or
            :func:`~metaselector.runs.stages.headroom.measure_headroom`.
        figures: may be empty.
    """
    write_text(path, table.to_csv(index=False, float_format="%.6g"))
    for figure in figures:
        save(draw(table), figure)


def add_headroom(run: Run, progress: Progress) -> None:
    """Measure the headroom of evaluated tables that lack it, if it takes less than a minute.

    Tables with too few users or rows stay without. If the run has more than :data:`MOST_ROWS`, a
    note names the command that measures it.

    Raises:
        DataError: a file is damaged, or lacks the predictions of a seed.
        CheckpointError: the data was prepared with different settings.
    """
    places = [place for place in headroom_tables(run) if _lacks(place.folder)]
    seeds = measured_seeds(run)
    rows = sum(len(place.split.test.flat("query")[0]) for place in places) * len(seeds)
    if rows > MOST_ROWS:
        progress.note(
            f"headroom is left out, because {rows:,} predictions of each model take a while; run "
            f"`metaselector headroom --run {run.directory}` first"
        )
        return
    if not places:
        return
    with progress.task("headroom", len(places) * len(WINDOWS) * len(seeds)) as advance:
        for place in places:
            try:
                table = measure_table(run, place, seeds, RESAMPLES, advance)
            except DataError:
                raise
            except UserError:  # too few users or rows
                continue
            folder = place.folder
            write_headroom(folder / HEADROOM_FILE, table, [folder / HEADROOM_FIGURE])


def _lacks(folder: Path) -> bool:
    evaluated = all((folder / name).exists() for name in WINDOWS.values())
    return evaluated and not (folder / HEADROOM_FILE).exists()

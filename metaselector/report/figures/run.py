"""Write all figures of a run from the files in its directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from metaselector.evaluate.results import REQUIRED
from metaselector.evaluate.support_curve import DIFFERENCE_COLUMNS
from metaselector.report.figures.results import comparison, heterogeneity, weights
from metaselector.report.figures.style import save
from metaselector.report.figures.support import support_sizes
from metaselector.report.figures.support_curve import support_curve
from metaselector.report.figures.training import learned_rates, learning_curves
from metaselector.report.inputs import read_table
from metaselector.report.support import SUPPORT_COLUMNS, SUPPORT_FILE
from metaselector.report.support_curve import CURVE_DIFFERENCES_FILE
from metaselector.report.tasks import TASKS_FILE


class _Source(NamedTuple):
    """A figure, its file, and the columns that it needs."""

    draw: Callable[[pd.DataFrame], Figure]
    file: str
    columns: tuple[str, ...]


FIGURES = {
    "comparison": _Source(comparison, "results.csv", REQUIRED),
    "support_sizes": _Source(support_sizes, SUPPORT_FILE, SUPPORT_COLUMNS),
    "support_curve": _Source(support_curve, CURVE_DIFFERENCES_FILE, DIFFERENCE_COLUMNS),
    "heterogeneity": _Source(heterogeneity, "best_counts.csv", ("seed", "model", "users", "share")),
    "weights": _Source(
        weights, "weights.parquet", ("seed", "model", "user", "row", "base_model", "weight")
    ),
    "learning_curves": _Source(
        learning_curves,
        "history.csv",
        ("seed", "model", "stage", "epoch", "train_loss", "valid_loss"),
    ),
    "learned_rates": _Source(
        learned_rates,
        "rates.csv",
        ("seed", "model", "epoch", "parameter", "group", "mean", "low", "high"),
    ),
}


def write_figures(run_dir: Path) -> list[Path]:
    """Write ``figures/<name>.png`` for every figure whose file exists and has rows.

    Returns:
        The files written. One of ``results.csv``, ``support.csv`` and ``tasks.csv`` must exist;
        other figures are skipped without their file, for example ``learned_rates.png`` if an inner
        rule learns no rates.

    Raises:
        DataError: all three are missing, or a file is damaged or lacks a column.
    """
    written = []
    overviews = (TASKS_FILE, SUPPORT_FILE)
    needed = next((name for name in overviews if (run_dir / name).exists()), "results.csv")
    for name, (draw, file, columns) in FIGURES.items():
        source = run_dir / file
        if file != needed and not source.exists():
            continue
        frame = read_table(source, columns)
        if frame.empty:
            continue
        path = run_dir / "figures" / f"{name}.png"
        save(draw(frame), path)
        written.append(path)
    return written

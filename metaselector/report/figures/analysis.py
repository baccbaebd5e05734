"""Write all figures of an analysis from its tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from metaselector.report.figures.models import calibration, cost, inner_steps
from metaselector.report.figures.style import save
from metaselector.report.figures.users import breakdown, confusion, entropy, stability
from metaselector.report.inputs import read_table

MEND = "run `metaselector analyse` again"


class _Source(NamedTuple):
    """A figure, its table, and the columns that must hold values."""

    draw: Callable[[pd.DataFrame], Figure]
    table: str
    columns: tuple[str, ...]


ANALYSIS_FIGURES = {
    "confusion": _Source(
        confusion, "confusion", ("seed", "fitted_on", "valid_best", "test_best", "users")
    ),
    "stability": _Source(stability, "correlation", ("seed", "fitted_on", "model", "spearman")),
    "entropy": _Source(entropy, "entropy", ("model", "entropy")),
    "breakdown": _Source(
        breakdown, "breakdown", ("fact", "bin", "from", "to", "model", "improvement")
    ),
    "inner_steps": _Source(
        inner_steps, "steps", ("seed", "model", "steps", "trained_steps", "logloss")
    ),
    "calibration": _Source(calibration, "reliability", ("model", "bin", "predicted", "observed")),
    "cost": _Source(cost, "cost_curves", ("seed", "model", "seconds", "valid_loss", "best_so_far")),
}


def write_analysis_figures(directory: Path) -> list[Path]:
    """Write ``figures/<name>.png`` in `directory` for every figure whose table is not empty.

    The figure of an earlier analysis is removed if its table is now empty; a single base model has
    no entropy, for example.

    Returns:
        The files written.

    Raises:
        DataError: a table is missing or damaged, or lacks a column.
    """
    written = []
    for name, (draw, table, columns) in ANALYSIS_FIGURES.items():
        frame = read_table(directory / f"{table}.csv", columns, MEND).dropna(subset=list(columns))
        path = directory / "figures" / f"{name}.png"
        if frame.empty:
            path.unlink(missing_ok=True)
            continue
        save(draw(frame), path)
        written.append(path)
    return written

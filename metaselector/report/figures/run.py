"""Write all figures of a run from the files in its directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from metaselector.evaluate.comparisons import REQUIRED as COMPARISONS
from metaselector.evaluate.headroom_table import COLUMNS as HEADROOM
from metaselector.evaluate.results import REQUIRED
from metaselector.evaluate.support_curve import DIFFERENCE_COLUMNS
from metaselector.report.figures.differences import compared_rows, differences_to_joint
from metaselector.report.figures.headroom import headroom
from metaselector.report.figures.numbers import learned_numbers
from metaselector.report.figures.results import comparison, heterogeneity, weights
from metaselector.report.figures.style import save
from metaselector.report.figures.support import support_sizes
from metaselector.report.figures.support_curve import support_curve
from metaselector.report.figures.training import learned_rates, learning_curves
from metaselector.report.headroom import HEADROOM_FILE, HEADROOM_GAPS, HEADROOM_MEND
from metaselector.report.inputs import EVALUATE_AGAIN, read_table
from metaselector.report.support import SUPPORT_COLUMNS, SUPPORT_FILE
from metaselector.report.support_curve import CURVE_DIFFERENCES_FILE
from metaselector.report.tasks import TASKS_FILE


def _are_numbers(rates: pd.DataFrame) -> pd.Series[bool]:
    """Which lines of ``rates.csv`` are about a learned number, and not about an inner rate."""
    return rates["parameter"].astype(str).str.contains("/", regex=False)


class _Source(NamedTuple):
    """A figure, its file, the columns that it needs, and which rows it shows.

    `mend` says how to get the file again, and `gaps` which columns may have empty cells.
    """

    draw: Callable[[pd.DataFrame], Figure]
    file: str
    columns: tuple[str, ...]
    shown: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame
    mend: str = EVALUATE_AGAIN
    gaps: tuple[str, ...] = ()

    def read(self, folder: Path) -> pd.DataFrame:
        """The rows to show; raises :class:`DataError` if the file is damaged or lacks a column."""
        path = folder / self.file
        return self.shown(read_table(path, self.columns, self.mend, gaps=self.gaps, narrow=True))


_RATE_COLUMNS = ("seed", "model", "epoch", "parameter", "group", "mean", "low", "high")


FIGURES = {
    "differences": _Source(differences_to_joint, "differences.csv", COMPARISONS, compared_rows),
    "comparison": _Source(comparison, "results.csv", REQUIRED),
    "support_sizes": _Source(support_sizes, SUPPORT_FILE, SUPPORT_COLUMNS),
    "support_curve": _Source(support_curve, CURVE_DIFFERENCES_FILE, DIFFERENCE_COLUMNS),
    "heterogeneity": _Source(heterogeneity, "best_counts.csv", ("seed", "model", "users", "share")),
    "headroom": _Source(
        headroom,
        HEADROOM_FILE,
        HEADROOM,
        mend=HEADROOM_MEND,
        gaps=HEADROOM_GAPS,
    ),
    "weights": _Source(weights, "weights.parquet", ("model", "base_model", "weight")),
    "learning_curves": _Source(
        learning_curves,
        "history.csv",
        ("seed", "model", "stage", "epoch", "train_loss", "valid_loss"),
    ),
    "learned_rates": _Source(
        learned_rates,
        "rates.csv",
        _RATE_COLUMNS,
        lambda rates: rates[~_are_numbers(rates)],
    ),
    "learned_numbers": _Source(
        learned_numbers,
        "rates.csv",
        _RATE_COLUMNS,
        lambda rates: rates[_are_numbers(rates)],
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
    for name, source in FIGURES.items():
        if source.file != needed and not (run_dir / source.file).exists():
            continue
        frame = source.read(run_dir)
        if frame.empty:
            continue
        path = run_dir / "figures" / f"{name}.png"
        save(source.draw(frame), path)
        written.append(path)
    return written

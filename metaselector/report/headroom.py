"""Headroom among the files of a run: what it looks like, and when it no longer holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from metaselector.common.errors import DataError
from metaselector.evaluate.headroom_table import COLUMNS
from metaselector.report.inputs import read_table

HEADROOM_FILE = "headroom.csv"
HEADROOM_FIGURE = "figures/headroom.png"
HEADROOM_GAPS = ("seed", "n")
"""Columns that may have empty cells."""
HEADROOM_MEND = "run `metaselector headroom`"
_PRECISION = 1e-5
"""Relative; the file has six digits."""


def drop_outdated(folder: Path, results: pd.DataFrame, base_models: Sequence[str]) -> None:
    """Remove ``headroom.csv`` and its figure if they were measured with other base models.

    It is up to date if the best single model has the same logloss on *test* as in these results.

    Args:
        folder: the folder of the results.
        results: ``results.csv``.
        base_models: what was selected from.
    """
    path = folder / HEADROOM_FILE
    if path.exists() and not _is_current(path, results, base_models):
        path.unlink()
        (folder / HEADROOM_FIGURE).unlink(missing_ok=True)


def _is_current(path: Path, results: pd.DataFrame, base_models: Sequence[str]) -> bool:
    try:
        table = read_table(path, COLUMNS, HEADROOM_MEND, gaps=HEADROOM_GAPS)
    except DataError:  # damaged
        return False
    single = table["window"].eq("test") & table["figure"].eq("best-single") & ~table["seed"].isna()
    measured = table[single].set_index("seed")
    best = results[results["model"].isin(base_models)].groupby("seed")["logloss"].min()
    return (
        len(measured) > 0
        and set(measured["models"]) == {"+".join(base_models)}
        and np.allclose(measured["value"], best.reindex(measured.index), rtol=_PRECISION, atol=0)
    )

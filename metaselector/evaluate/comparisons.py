"""Compare rows of the results table, with p-values corrected for multiple comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from metaselector.common.progress import Progress
from metaselector.evaluate.alignment import Predictions, models_of
from metaselector.evaluate.bootstrap import difference, metrics_of, resample

TARGET = "metaselector"
"""Joint MetaSelector, which is compared with every other row."""

SIMPLIFIED = "metaselector-simplified"
WEIGHING = (
    "uniform",
    "convex",
    "stacking-logistic",
    "stacking-lightgbm",
    "stacking-lightgbm-features",
    "sample-selector",
    "user-best",
    "user-exponential",
)
"""Rows that :data:`SIMPLIFIED` is compared with; they too only combine outputs of frozen base
models."""

BEST_SINGLE = "best-single"
"""Family of the comparisons of every row with the best single model. The other families are
:data:`TARGET`, compared with every other row, and :data:`SIMPLIFIED`."""

COLUMNS = (
    "family",
    "model",
    "baseline",
    "metric",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "p_floor",
    "n_seeds",
)
ADDED = ("p_floor",)
"""Columns that differences of earlier versions lack."""

REQUIRED = tuple(name for name in COLUMNS if name not in ADDED)


class Comparison(NamedTuple):
    """A comparison of two rows.

    Attributes:
        family: p-values are corrected within a family and metric.
        model, baseline: names of the two rows.
        pairs: by seed, the models of the two rows.
    """

    family: str
    model: str
    baseline: str
    pairs: dict[int, tuple[str, str]]


def compare(
    predictions: Predictions,
    best_single: Mapping[int, str],
    n_resamples: int,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Compare every row except oracles with the best single model, and MetaSelector with all rows.

    Resamples are drawn from a fixed seed, so repeated computations give the same table.

    Args:
        predictions: the long table, any number of seeds, one task.
        best_single: by seed, the best single model on *valid*.
        n_resamples: number of resamples.
        progress: counts resamples.

    Returns:
        One row per comparison and metric, columns :data:`COLUMNS`. Differences are averaged over
        seeds, model minus baseline; ``p_holm`` is the p-value corrected by Holm's step-down method
        over the rows of the same family and metric, and ``p_floor`` is the lowest one that so many
        resamples can give. P-values are nan for fewer than
        :data:`metaselector.evaluate.intervals.LEAST_RESAMPLES`. Source: Holm, "A Simple
        Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979.

    Raises:
        UserError: as :func:`metaselector.evaluate.bootstrap.resample` and ``difference``.

    Example:
        >>> table = pd.DataFrame({"user": ["ann", "bob"] * 2, "row": [0, 1] * 2, "y": [1, 0] * 2})
        >>> table = table.assign(seed=0, task="label", model=["lr", "lr", "fm", "fm"])
        >>> table = table.assign(p=[0.6, 0.4, 0.9, 0.2])
        >>> found = compare(table, best_single={0: "lr"}, n_resamples=100)
        >>> found.loc[found["metric"] == "logloss", ["model", "baseline", "difference"]].round(2)
          model baseline  difference
        1    fm       lr       -0.35
    """
    rows = [model for model in models_of(predictions) if not model.startswith("oracle-")]
    compared = _comparisons(rows, best_single)
    generator = np.random.default_rng(0)
    metrics = metrics_of(predictions)
    scores = resample(predictions, metrics, n_resamples, generator, progress)
    records = [
        (c.family, c.model, c.baseline, metric, *difference(scores[metric], c.pairs), len(c.pairs))
        for c in compared
        for metric in metrics
    ]
    table = pd.DataFrame(records, columns=[name for name in COLUMNS if name != "p_holm"])
    by_family = table.groupby(["family", "metric"])
    corrected = by_family["p"].transform(_holm)
    # A family has one floor: its lowest p-value is multiplied by the number of rows.
    floor = np.minimum(by_family["p_floor"].transform("min") * by_family["p"].transform("size"), 1)
    return table.assign(p_holm=corrected, p_floor=floor)[list(COLUMNS)]


def _comparisons(rows: list[str], best_single: Mapping[int, str]) -> list[Comparison]:
    # If the best single model differs between seeds, the baseline is named after all of them.
    singles = list(dict.fromkeys(best_single.values()))
    joined = " or ".join(singles)
    compared = [
        Comparison(BEST_SINGLE, row, joined, {s: (row, best) for s, best in best_single.items()})
        for row in rows
        if [row] != singles
    ]
    for target, others in ((TARGET, rows), (SIMPLIFIED, WEIGHING)):
        compared += [
            Comparison(target, target, row, dict.fromkeys(best_single, (target, row)))
            for row in rows
            if target in rows and row in others and row != target
        ]
    return compared


def _holm(p: pd.Series[float]) -> pd.Series[float]:
    """p-values corrected by Holm's method.

    The i-th smallest of m is multiplied by m - i + 1, but never falls below its predecessor. nan
    counts as the largest.
    """
    order, m = np.argsort(p.to_numpy(), kind="stable"), len(p)
    adjusted = np.maximum.accumulate(np.arange(m, 0, -1) * p.to_numpy()[order])
    return pd.Series(np.minimum(adjusted, 1.0), index=p.index[order])

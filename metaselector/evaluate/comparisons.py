"""Which rows of the table are compared with which, and p-values corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from metaselector.common.progress import Progress
from metaselector.evaluate.bootstrap import difference, resample

METRICS = ("auc", "logloss")
TARGET = "metaselector"
"""The row that all others are compared with: joint MetaSelector."""

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
"""Rows that :data:`SIMPLIFIED` is compared with: like it, they only combine outputs of frozen base
models."""

BEST_SINGLE = "best-single"
"""The family of comparisons of every row with the best single model; the others are
:data:`TARGET`'s, of it with every other row, and :data:`SIMPLIFIED`'s."""

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
    "n_seeds",
)


class Comparison(NamedTuple):
    """Two rows that are compared.

    Attributes:
        family: what the correction is over, with the metric.
        model, baseline: their names.
        pairs: by seed, the two models that these are.
    """

    family: str
    model: str
    baseline: str
    pairs: dict[int, tuple[str, str]]


def compare(
    predictions: pd.DataFrame,
    best_single: Mapping[int, str],
    n_resamples: int,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Every row but the oracles with the best single model, and MetaSelector with every other one.

    The users that are drawn are the same whatever the models and seeds, so that a table computed
    again is the same.

    Args:
        predictions: the long table, any number of seeds, one task.
        best_single: by seed, the single model that was best on *valid*.
        n_resamples: how often users are drawn.
        progress: counts them.

    Returns:
        One row per comparison and metric, columns :data:`COLUMNS`. Differences are averaged over
        seeds, model minus baseline; ``p_holm`` is the p-value corrected by Holm's step-down method
        over the rows of the same family and metric. Source: Holm, "A Simple Sequentially Rejective
        Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979.

    Raises:
        UserError: as :func:`metaselector.evaluate.bootstrap.resample` and ``difference``.

    Example:
        >>> table = pd.DataFrame({"user": ["ann", "bob"] * 2, "row": [0, 1] * 2, "y": [1, 0] * 2})
        >>> table = table.assign(seed=0, task="label", model=["lr", "lr", "fm", "fm"])
        >>> table = table.assign(p=[0.6, 0.4, 0.9, 0.2])
        >>> compare(table, best_single={0: "lr"}, n_resamples=100)[["model", "baseline", "metric"]]
          model baseline   metric
        0    fm       lr      auc
        1    fm       lr  logloss
    """
    rows = [str(m) for m in predictions["model"].unique() if not m.startswith("oracle-")]
    compared = _comparisons(rows, best_single)
    generator = np.random.default_rng(0)
    scores = resample(predictions, METRICS, n_resamples, generator, progress)
    records = [
        (c.family, c.model, c.baseline, metric, *difference(scores[metric], c.pairs), len(c.pairs))
        for c in compared
        for metric in METRICS
    ]
    table = pd.DataFrame(records, columns=[name for name in COLUMNS if name != "p_holm"])
    corrected = table.groupby(["family", "metric"])["p"].transform(_holm)
    return table.assign(p_holm=corrected)[list(COLUMNS)]


def _comparisons(rows: list[str], best_single: Mapping[int, str]) -> list[Comparison]:
    # Seeds may differ in their best single model, which then is a row of others; the name says so.
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
    """p-values by S. Holm, "A simple sequentially rejective multiple test procedure", 1979.

    The i-th smallest of m is multiplied by m - i + 1, and is never below the one before.
    """
    order, m = np.argsort(p.to_numpy(), kind="stable"), len(p)
    adjusted = np.maximum.accumulate(np.arange(m, 0, -1) * p.to_numpy()[order])
    return pd.Series(np.minimum(adjusted, 1.0), index=p.index[order])

"""Metrics of each strategy of training base models, and intervals of their differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, recall_score

from benchmarks.study import over_seeds
from metaselector.common.progress import Progress
from metaselector.evaluate.bootstrap import Difference, Resampled, difference, resample
from metaselector.evaluate.intervals import effective_users
from metaselector.evaluate.metrics import auc, logloss

THRESHOLD = 0.5
Floats = NDArray[np.float64]

METRICS: dict[str, Callable[[Floats, Floats], float]] = {
    "auc": auc,
    "logloss": logloss,
    "accuracy": lambda y, p: float(accuracy_score(y, p >= THRESHOLD)),
    "recall": lambda y, p: float(recall_score(y, p >= THRESHOLD)),
    "f1": lambda y, p: float(f1_score(y, p >= THRESHOLD)),
}
OF_COUNTS: dict[str, Callable[[Floats, Floats, Floats, Floats], Floats]] = {
    "accuracy": lambda tp, fp, fn, tn: (tp + tn) / (tp + fp + fn + tn),
    "recall": lambda tp, fp, fn, tn: tp / (tp + fn),
    "f1": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn),
}
"""Metrics at a threshold, from counts summed over users' rows; one value per resample."""
BASE = "independent"


def compare(
    predictions: Mapping[tuple[str, str], pd.DataFrame], resamples: int, progress: Progress
) -> pd.DataFrame:
    """Metrics of each strategy, and their difference from models trained independently.

    Args:
        predictions: long tables by labels and strategy; tables with equal labels have equal rows.

    Returns:
        A row per labels, model, strategy and metric: ``value`` and ``sd`` are mean and standard
        deviation over seeds, ``difference`` is the mean minus that of ``independent``, ``low`` to
        ``high`` its 95 % interval and ``p`` its p-value by the paired bootstrap over users.
    """
    records = []
    for labels in dict.fromkeys(labels for labels, _ in predictions):
        frames = [
            frame.assign(model=frame["model"] + "/" + strategy)
            for (of, strategy), frame in predictions.items()
            if of == labels
        ]
        together = pd.concat(frames, ignore_index=True)
        scores = resample(together, ("auc", "logloss"), resamples, _generator(), progress)
        scores |= of_counts(together, resamples)
        for name, rows in together.groupby("model", sort=False):
            model, strategy = str(name).split("/")
            for metric, function in METRICS.items():
                values = [
                    function(g["y"].to_numpy(np.float64), g["p"].to_numpy())
                    for _, g in rows.groupby("seed")
                ]
                seeds = dict.fromkeys(rows["seed"])
                pairs = dict.fromkeys(seeds, (str(name), f"{model}/{BASE}"))
                found = difference(scores[metric], pairs) if strategy != BASE else None
                records.append(
                    {
                        "labels": labels,
                        "model": model,
                        "strategy": strategy,
                        "metric": metric,
                        **over_seeds(values),
                        **(Difference(*[np.nan] * 5) if found is None else found)._asdict(),
                        "seeds": len(values),
                    }
                )
    return pd.DataFrame(records)


def of_counts(predictions: pd.DataFrame, resamples: int) -> dict[str, Resampled]:
    """The metrics of :data:`OF_COUNTS` in the form that :func:`resample` returns."""
    users = np.unique(predictions["user"])
    code = np.searchsorted(users, predictions["user"])
    n, generator = len(users), _generator()
    weights = generator.multinomial(n, np.full(n, 1 / n), resamples)  # [R, U]
    weights = np.concatenate([np.ones((1, n)), weights])
    said, true = predictions["p"].to_numpy() >= THRESHOLD, predictions["y"].to_numpy() == 1
    kinds = np.stack([said & true, said & ~true, ~said & true, ~said & ~true])  # [4, N]
    found: dict[str, dict[tuple[int, str], Floats]] = {metric: {} for metric in OF_COUNTS}
    for seed, model in predictions[["seed", "model"]].drop_duplicates().itertuples(index=False):
        at = np.flatnonzero((predictions["seed"] == seed) & (predictions["model"] == model))
        counts = [
            np.bincount(code[at], weights=kind[at], minlength=n).astype(np.float64)
            for kind in kinds
        ]
        sums = [weights @ count for count in counts]  # each [1 + R]
        for metric, function in OF_COUNTS.items():
            found[metric][int(seed), str(model)] = function(*sums)
    rows = effective_users(np.bincount(code).astype(np.float64))
    return {metric: Resampled(values, rows) for metric, values in found.items()}


def _generator() -> np.random.Generator:
    return np.random.default_rng(0)

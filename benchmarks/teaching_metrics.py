"""Metrics of strategies of training base models, and how sure their differences are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, recall_score

from metaselector.common.progress import Progress
from metaselector.evaluate.bootstrap import Difference, difference, resample
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
"""The metrics of a threshold as functions of sums over users' rows, one a resample."""
BASE = "independent"


def compare(
    predictions: Mapping[tuple[str, str], pd.DataFrame], resamples: int, progress: Progress
) -> pd.DataFrame:
    """Every strategy's metrics, and their difference to those of models trained alone.

    Args:
        predictions: long tables by labels and strategy; those of the same labels have the same
            rows.

    Returns:
        A row per labels, model, strategy and metric: ``value`` is the mean over seeds, ``sd`` their
        standard deviation, ``difference`` the mean's difference to ``independent``, with its 95 %
        interval ``low`` to ``high`` and ``p`` of the paired bootstrap over users.
    """
    records = []
    for labels in dict.fromkeys(labels for labels, _ in predictions):
        frames = [
            frame.assign(model=frame["model"] + "/" + strategy)
            for (of, strategy), frame in predictions.items()
            if of == labels
        ]
        together = pd.concat(frames, ignore_index=True)
        scores = dict(resample(together, ("auc", "logloss"), resamples, _generator(), progress))
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
                        "value": float(np.mean(values)),
                        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
                        **(Difference(*[np.nan] * 4) if found is None else found)._asdict(),
                        "seeds": len(values),
                    }
                )
    return pd.DataFrame(records)


def of_counts(
    predictions: pd.DataFrame, resamples: int
) -> dict[str, dict[tuple[int, str], Floats]]:
    """What :func:`resample` returns, of the metrics of :data:`OF_COUNTS`."""
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
    return found


def _generator() -> np.random.Generator:
    return np.random.default_rng(0)

"""Metrics by the number of support rows, and whether adapting to few rows harms.

A model is measured on the same queries with 0, 1, 2, … support rows. It is compared with itself
without adaptation, and with plain fine-tuning, at the same number of rows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from metaselector.common.progress import Progress, Silent
from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.bootstrap import Resampled, difference, draws
from metaselector.evaluate.intervals import effective_users
from metaselector.evaluate.metrics import auc
from metaselector.evaluate.weighted import weighted_mean

SIZES = (0, 1, 2, 3, 5, 10, 20, 40)
"""Numbers of support rows to measure."""
NOT_ADAPTED = "not-adapted"
"""Joint MetaSelector without inner steps."""
FINETUNED = "user-finetuned"
BASELINES = (NOT_ADAPTED, FINETUNED)
MODELS = (*BASELINES, "metaselector", "metaselector-simplified")
"""The models of the curve; all but the first adapt."""
COLUMNS = ("seed", "model", "n", "logloss", "auc", "gauc")
DIFFERENCE_COLUMNS = (
    "n",
    "model",
    "baseline",
    "metric",
    "value",
    "baseline_value",
    "difference",
    "low",
    "high",
)


class UserSums(NamedTuple):
    """Two sums by user. A metric is the ratio of their totals over users.

    Attributes:
        totals: float64 ``[U]``.
        sizes: float64 ``[U]``, the number of rows that `totals` covers.
    """

    totals: Floats
    sizes: Floats

    @classmethod
    def of_losses(cls, losses: Floats, codes: Ints, n_users: int) -> Self:
        """Sums for the mean loss; `losses` and `codes` are ``[N]``."""
        return cls(_sums(losses, codes, n_users), _sums(np.ones(len(codes)), codes, n_users))

    @classmethod
    def of_areas(cls, y: Floats, p: Floats, codes: Ints, n_users: int) -> Self:
        """Sums for :func:`~metaselector.evaluate.metrics.gauc`; `y`, `p`, `codes` are ``[N]``."""
        rank = pd.Series(p).groupby(codes).rank().to_numpy(np.float64)  # within the user, from 1
        size, positive, rank_sum = (
            _sums(values, codes, n_users) for values in (np.ones(len(y)), y, y * rank)
        )
        pairs = positive * (size - positive)
        won = rank_sum - positive * (positive + 1) / 2  # Mann and Whitney
        share = np.divide(won, pairs, out=np.zeros(n_users), where=pairs > 0)
        sizes: Floats = np.where(pairs > 0, size, 0.0)
        return cls(share * sizes, sizes)

    def mean(self) -> float:
        """The metric on all users; nan if no user counts."""
        size = self.sizes.sum()
        return float(self.totals.sum() / size) if size else math.nan


class SupportCurve:
    """Metrics of models by seed and number of support rows, from sums per user.

    Args:
        n_users: U, the number of users in the data set.

    Example:
        >>> curve = SupportCurve(n_users=2)
        >>> users, y = np.array([0, 0, 1]), np.array([1.0, 0.0, 1.0])
        >>> for model, p in (("not-adapted", [0.5, 0.5, 0.5]), ("metaselector", [0.9, 0.2, 0.4])):
        ...     losses = -np.log(np.where(y == 1, p, 1 - np.array(p)))
        ...     curve.add(0, model, 5, users, losses, y, np.array(p))
        >>> curve.table().round(3)
           seed         model  n  logloss  auc  gauc
        0     0   not-adapted  5    0.693  0.5   0.5
        1     0  metaselector  5    0.415  1.0   1.0
        >>> found = curve.differences(n_resamples=100)
        >>> found.loc[0, ["model", "baseline", "metric"]].tolist()
        ['metaselector', 'not-adapted', 'logloss']
    """

    def __init__(self, n_users: int) -> None:
        self._n_users = n_users
        self._records: list[tuple[int, str, int, float, float, float]] = []
        self._seeds: set[int] = set()
        # By metric and number of rows: totals by model, summed over seeds, and sizes.
        self._totals: dict[tuple[str, int], dict[str, Floats]] = defaultdict(dict)
        self._sizes: dict[tuple[str, int], Floats] = {}

    def add(
        self, seed: int, model: str, n: int, users: Ints, losses: Floats, y: Floats, p: Floats
    ) -> None:
        """Add the predictions of N rows with `n` support rows.

        All models and seeds must predict the same rows with the same `n`.

        Args:
            seed, model, n: what predicted them, each combination once.
            users: int64 ``[N]``, from 0 to U - 1.
            losses: float64 ``[N]``, in nats.
            y, p: float64 ``[N]``, label and probability of one task.
        """
        sums = {
            "logloss": UserSums.of_losses(losses, users, self._n_users),
            "gauc": UserSums.of_areas(y, p, users, self._n_users),
        }
        values = {metric: each.mean() for metric, each in sums.items()}
        self._records.append((seed, model, n, values["logloss"], auc(y, p), values["gauc"]))
        self._seeds.add(seed)
        for metric, each in sums.items():
            by_model = self._totals[metric, n]
            by_model[model] = by_model.get(model, 0) + each.totals
            self._sizes[metric, n] = each.sizes

    def table(self) -> pd.DataFrame:
        """One row per seed, model and number of support rows, columns :data:`COLUMNS`."""
        return pd.DataFrame(self._records, columns=list(COLUMNS))

    def differences(self, n_resamples: int, progress: Progress | None = None) -> pd.DataFrame:
        """Compare the adapted models with :data:`BASELINES` at the same number of support rows.

        Args:
            n_resamples: R, resamples of users; the same for all comparisons, from a fixed seed.
            progress: counts resamples.

        Returns:
            Columns :data:`DIFFERENCE_COLUMNS`. ``value`` and ``baseline_value`` are means over
            seeds, ``difference`` is the first minus the second, and ``low`` and ``high`` are its
            95 % interval as in :func:`metaselector.evaluate.bootstrap.difference`.
        """
        scores = self._resampled(n_resamples, progress or Silent())
        records = []
        for (metric, n), found in scores.items():
            models = {model for _, model in found.values}
            for baseline in BASELINES:
                for model in MODELS[1:]:
                    if model == baseline or not {model, baseline} <= models:
                        continue
                    values = (float(found[0, name][0]) for name in (model, baseline))
                    compared = difference(found, {0: (model, baseline)})
                    records.append((n, model, baseline, metric, *values, *compared[:3]))
        return pd.DataFrame(records, columns=list(DIFFERENCE_COLUMNS))

    def _resampled(self, n_resamples: int, progress: Progress) -> dict[tuple[str, int], Resampled]:
        """The models on the same resamples, by metric and number of rows, as seed 0.

        All seeds predict the same rows, so the mean over seeds of a metric is the metric of the
        mean sums.
        """
        counted = np.flatnonzero(np.sum(list(self._sizes.values()), axis=0))  # have rows
        means = {
            key: weighted_mean(
                np.stack(list(by_model.values()))[:, counted] / len(self._seeds),
                self._sizes[key][counted],
            )
            for key, by_model in self._totals.items()
        }
        original = np.ones((len(counted), 1))
        parts = {key: [mean(original)] for key, mean in means.items()}
        generator = np.random.default_rng(0)
        with progress.task("support curve: bootstrap over users", n_resamples) as advance:
            for weights in draws(len(counted), n_resamples, generator):
                for key, mean in means.items():
                    parts[key].append(mean(weights))
                for _ in weights.T:
                    advance()
        found = {}
        for key, by_model in self._totals.items():
            of_models = np.concatenate(parts[key], axis=1)  # [M, 1 + R]
            values = {(0, m): v for m, v in zip(by_model, of_models, strict=True)}
            found[key] = Resampled(values, effective_users(self._sizes[key]))
        return found


def _sums(values: Floats, codes: Ints, n_users: int) -> Floats:
    return np.bincount(codes, weights=values, minlength=n_users).astype(np.float64, copy=False)

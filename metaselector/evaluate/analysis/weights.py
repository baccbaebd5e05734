"""Distribution and entropy of the selectors' weights."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.special import entr

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def weight_summary(weights: pd.DataFrame) -> pd.DataFrame:
    """Distribution over test rows of each base model's weight.

    Args:
        weights: ``weights.parquet``.

    Returns:
        ``seed, model, base_model, mean, std`` and the quantiles ``q05`` to ``q95``.
    """
    keys = ["seed", "model", "base_model"]
    groups = weights.groupby(keys, sort=False, observed=True)["weight"]
    quantiles = groups.quantile(np.array(QUANTILES)).unstack()
    quantiles.columns = pd.Index([f"q{100 * q:02.0f}" for q in QUANTILES])
    spread = pd.DataFrame({"mean": groups.mean(), "std": groups.std()})
    return spread.join(quantiles).reset_index()


def user_entropy(weights: pd.DataFrame) -> pd.DataFrame:
    """Normalised entropy of the weights, averaged over each user's rows.

    A row has ``-sum_k w_k log w_k / log K``: 0 if all weight is on one base model, 1 if all K have
    equal weight, nan if K is 1.

    Args:
        weights: ``weights.parquet``.

    Returns:
        ``seed, model, user, entropy, rows``.
    """
    most = math.log(weights["base_model"].nunique())
    parts = weights.assign(entropy=entr(weights["weight"].astype(np.float64)))
    rows = parts.groupby(["seed", "model", "user", "row"], sort=False, observed=True)[
        "entropy"
    ].sum()
    rows = rows / most if most else rows * math.nan
    by_user = rows.groupby(["seed", "model", "user"], sort=False, observed=True)
    return by_user.agg(entropy="mean", rows="size").reset_index()

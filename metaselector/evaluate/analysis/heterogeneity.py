"""Whether users differ in which base model suits them, and whether that lasts.

On *valid* base models predict that were fitted on *train*; on *test* the same ones do, and those
refitted on *train* and *valid*. No base model has seen the labels that it is judged by. A user's
best base model is the one with the lowest mean logloss on their rows of a window; a model's
*advantage* is the mean of all base models' logloss on those rows minus its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from metaselector.evaluate.alignment import Aligned, by_seed
from metaselector.evaluate.losses import user_codes, user_losses
from metaselector.evaluate.results import best_model_counts

REFIT, TRAIN = FITTED_ON = ("train+valid", "train")
"""What the base models were fitted on that predict *test*; those of *valid* know *train* alone."""


class Heterogeneity(NamedTuple):
    """Tables with a line for each of the first columns' combinations.

    Attributes:
        best: ``seed, window, fitted_on, model, users, share``: for how many users a base model is
            the best.
        confusion: ``seed, fitted_on, valid_best, test_best, users``.
        stability: ``seed, fitted_on, users, kept, chance, kappa``: the share of users who have the
            same best model in both windows, the share expected of independent choices with the
            same marginals, and Cohen's kappa, ``(kept - chance) / (1 - chance)``; kappa is nan
            where chance is 1.
        correlation: ``seed, fitted_on, model, spearman, users``: rank correlation over users of
            the model's advantage on *valid* and on *test*; nan where one of them is constant.
    """

    best: pd.DataFrame
    confusion: pd.DataFrame
    stability: pd.DataFrame
    correlation: pd.DataFrame


def heterogeneity(
    valid: pd.DataFrame, test: pd.DataFrame, base_models: Sequence[str]
) -> Heterogeneity:
    """Compare the base models user by user within and between the windows.

    Args:
        valid: the long table of the base models on *valid*.
        test: the long table on *test*; without rows ``<model>-train``, what is fitted on *train*
            is compared on *valid* alone.
        base_models: names of the K base models.

    Raises:
        UserError: a base model has no predictions.
    """
    best = [_best("valid", TRAIN, valid, base_models)]
    pairs = []
    for fitted_on in FITTED_ON:
        suffix = "" if fitted_on == REFIT else "-train"
        columns = {f"{model}{suffix}": model for model in base_models}
        if fitted_on == TRAIN and columns.keys() - set(test["model"]):
            continue
        mine = test[test["model"].isin(columns)]
        mine = mine.assign(model=mine["model"].map(columns))
        best.append(_best("test", fitted_on, mine, base_models))
        on_valid = dict(by_seed(valid))
        for seed, aligned in by_seed(mine):
            windows = (advantages(each, base_models) for each in (on_valid[seed], aligned))
            pairs.append(_compare(seed, fitted_on, *windows))
    tables = [pd.concat(frames, ignore_index=True) for frames in zip(*pairs, strict=True)]
    return Heterogeneity(pd.concat(best, ignore_index=True), *tables)


def advantages(aligned: Aligned, base_models: Sequence[str]) -> pd.DataFrame:
    """``[U, K]`` advantages in nats, indexed by user; the columns are the base models."""
    base = np.stack([aligned.of(model) for model in base_models], axis=1)  # [N, K]
    codes, users = user_codes(aligned.users)
    losses = user_losses(aligned.y, base, codes) / np.bincount(codes)[:, None]
    return pd.DataFrame(
        losses.mean(axis=1, keepdims=True) - losses, index=users, columns=list(base_models)
    )


def _best(
    window: str, fitted_on: str, predictions: pd.DataFrame, base_models: Sequence[str]
) -> pd.DataFrame:
    counts = best_model_counts(predictions, base_models)
    counts.insert(1, "window", window)
    counts.insert(2, "fitted_on", fitted_on)
    return counts


def _compare(
    seed: int, fitted_on: str, valid: pd.DataFrame, test: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Confusion, stability and correlation of one seed over the users who are in both windows."""
    users, models = valid.index.intersection(test.index), valid.columns
    valid, test = valid.loc[users], test.loc[users]
    before, after = (each.to_numpy().argmax(axis=1) for each in (valid, test))
    counts = np.zeros((len(models), len(models)), dtype=np.int64)
    np.add.at(counts, (before, after), 1)
    shares = counts / len(users)
    chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    kappa = cohen_kappa_score(before, after) if chance < 1 else math.nan
    key = {"seed": seed, "fitted_on": fitted_on}
    confusion = pd.DataFrame(
        {
            **key,
            "valid_best": np.repeat(models, len(models)),
            "test_best": np.tile(models, len(models)),
            "users": counts.reshape(-1),  # [K, K] to [K * K]
        }
    )
    agreement = {"users": len(users), "kept": np.trace(shares), "chance": chance, "kappa": kappa}
    correlation = {
        "model": models,
        "spearman": [_spearman(valid[model], test[model]) for model in models],
        "users": len(users),
    }
    return confusion, pd.DataFrame([key | agreement]), pd.DataFrame(key | correlation)


def _spearman(a: pd.Series, b: pd.Series) -> float:
    constant = a.nunique() < 2 or b.nunique() < 2
    return math.nan if constant else float(spearmanr(a, b).statistic)

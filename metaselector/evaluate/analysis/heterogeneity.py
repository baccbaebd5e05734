"""How users differ in their best base model, and whether that is stable over time.

Base models fitted on *train* predict *valid* and *test*; models refitted on *train* and *valid*
predict *test*. No base model has seen the labels that it is scored on. A user's best base model has
the lowest mean logloss on the user's rows of a window; a model's *advantage* is the mean logloss of
all base models on these rows minus its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from metaselector.evaluate.alignment import Aligned, Predictions, compact, models_of
from metaselector.evaluate.losses import user_codes, user_losses
from metaselector.evaluate.results import best_model_counts

REFIT, TRAIN = FITTED_ON = ("train+valid", "train")
"""Windows that base models for *test* are fitted on; models for *valid* are fitted on *train*."""


class Heterogeneity(NamedTuple):
    """Tables with one line per combination of their first columns.

    Attributes:
        best: ``seed, window, fitted_on, model, users, share``: number and share of users for whom a
            base model is the best.
        confusion: ``seed, fitted_on, valid_best, test_best, users``.
        stability: ``seed, fitted_on, users, kept, chance, kappa``: the share of users with the same
            best model in both windows, the share expected from independent choices with the same
            marginals, and Cohen's kappa, ``(kept - chance) / (1 - chance)``, nan if chance is 1.
        correlation: ``seed, fitted_on, model, spearman, users``: rank correlation over users
            between the model's advantages on *valid* and *test*, nan if one of them is constant.
    """

    best: pd.DataFrame
    confusion: pd.DataFrame
    stability: pd.DataFrame
    correlation: pd.DataFrame


def heterogeneity(
    valid: Predictions, test: Predictions, base_models: Sequence[str]
) -> Heterogeneity:
    """Compare base models user by user, within and between windows.

    Args:
        valid: the long table of the base models on *valid*.
        test: the long table on *test*; models fitted on *train* are only compared there if it has
            rows ``<model>-train``.
        base_models: names of the K base models.

    Raises:
        UserError: a base model has no predictions.
    """
    valid, test = compact(valid), compact(test)
    best = [_best("valid", TRAIN, valid, base_models)]
    pairs = []
    for fitted_on in FITTED_ON:
        suffix = "" if fitted_on == REFIT else "-train"
        columns = {f"{model}{suffix}": model for model in base_models}
        if fitted_on == TRAIN and columns.keys() - set(models_of(test)):
            continue
        mine = test.only(columns)
        best.append(_best("test", fitted_on, mine, base_models))
        for seed, aligned in mine.seeds.items():
            windows = (advantages(each, base_models) for each in (valid.seeds[seed], aligned))
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
    window: str, fitted_on: str, predictions: Predictions, base_models: Sequence[str]
) -> pd.DataFrame:
    counts = best_model_counts(predictions, base_models)
    counts.insert(1, "window", window)
    counts.insert(2, "fitted_on", fitted_on)
    return counts


def _compare(
    seed: int, fitted_on: str, valid: pd.DataFrame, test: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Confusion, stability and correlation of one seed, over users who are in both windows."""
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

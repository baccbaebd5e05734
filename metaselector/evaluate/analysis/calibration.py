"""Calibration: whether predicted probabilities match observed shares of positives."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from metaselector.evaluate.alignment import Predictions, by_seed
from metaselector.evaluate.analysis.bins import quantile_bins
from metaselector.evaluate.checks import checked_rows
from metaselector.evaluate.metrics import auc

BINS = 15
"""Maximum number of bins; apart from ties, they hold equal numbers of rows."""
_CLOSE_TO_0 = 1e-12


class Calibration(NamedTuple):
    """Reliability curves and calibration errors.

    Attributes:
        curves: ``seed, model, bin, rows, predicted, observed``: mean probability and share of
            positives in the bin.
        errors: ``seed, model, bins, ece, slope, intercept``.
    """

    curves: pd.DataFrame
    errors: pd.DataFrame


def calibration(predictions: Predictions) -> Calibration:
    """Reliability curves, ECE, and slope and intercept of every model of every seed.

    Args:
        predictions: the long table, any number of seeds, one task.
    """
    curves, errors = [], []
    for seed, aligned in by_seed(predictions):
        for model, p in aligned.p.items():
            curve = reliability(aligned.y, p)
            slope, intercept = slope_and_intercept(aligned.y, p)
            curves.append(curve.assign(seed=seed, model=model))
            error = expected_calibration_error(curve)
            errors.append((seed, model, len(curve), error, slope, intercept))
    columns = ["seed", "model", "bin", "rows", "predicted", "observed"]
    return Calibration(
        pd.concat(curves, ignore_index=True)[columns],
        pd.DataFrame(errors, columns=["seed", "model", "bins", "ece", "slope", "intercept"]),
    )


def reliability(y: ArrayLike, p: ArrayLike, bins: int = BINS) -> pd.DataFrame:
    """Mean probability and share of positives in quantile bins of `p`.

    Like scikit-learn's ``calibration_curve(strategy="quantile")``, but also returns the number of
    rows per bin.

    Args:
        y, p: ``[N]``.

    Returns:
        ``bin, rows, predicted, observed``.

    Raises:
        UserError: a label or prediction is invalid, or lengths differ.
    """
    labels, predicted = checked_rows(y, p)
    frame = pd.DataFrame({"predicted": predicted, "observed": labels})
    groups = frame.groupby(quantile_bins(frame["predicted"], bins))
    return groups.mean().assign(rows=groups.size()).rename_axis("bin").reset_index()


def expected_calibration_error(curve: pd.DataFrame) -> float:
    """``sum_b n_b / N |observed_b - predicted_b|`` over the bins of :func:`reliability`.

    Source: Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", AAAI 2015, whose bins are of equal width; here they are of equal mass.
    """
    return float(np.average((curve["observed"] - curve["predicted"]).abs(), weights=curve["rows"]))


def slope_and_intercept(y: ArrayLike, p: ArrayLike) -> tuple[float, float]:
    """Slope and intercept of a logistic regression of `y` on the logit of `p`.

    They are 1 and 0 if `p` is calibrated; a slope below 1 means that probabilities are too extreme.
    nan if all labels or all probabilities are equal, and if a threshold separates the labels
    perfectly, because there is then no best slope. Source: Cox, "Two further applications of a
    model for binary regression", Biometrika 45, 1958.

    Raises:
        UserError: a label or prediction is invalid, or lengths differ.
    """
    labels, probabilities = checked_rows(y, p)
    area = auc(labels, probabilities)
    if math.isnan(area) or area in (0, 1) or np.ptp(probabilities) == 0:
        return math.nan, math.nan
    clipped = np.clip(probabilities, _CLOSE_TO_0, 1 - _CLOSE_TO_0)
    # C = inf: no penalty.
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(logit(clipped)[:, None], labels)
    return float(model.coef_[0, 0]), float(model.intercept_[0])

"""Whether predicted probabilities are the shares of positives that are observed."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from metaselector.evaluate.alignment import by_seed
from metaselector.evaluate.analysis.bins import quantile_bins
from metaselector.evaluate.checks import checked_rows
from metaselector.evaluate.metrics import auc

BINS = 15
"""Most bins, of equal numbers of rows but for ties."""
_CLOSE_TO_0 = 1e-12


class Calibration(NamedTuple):
    """Two tables.

    Attributes:
        curves: ``seed, model, bin, rows, predicted, observed``: mean probability and share of
            positives in the bin.
        errors: ``seed, model, bins, ece, slope, intercept``.
    """

    curves: pd.DataFrame
    errors: pd.DataFrame


def calibration(predictions: pd.DataFrame) -> Calibration:
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

    The same as scikit-learn's ``calibration_curve(strategy="quantile")``, and how many rows the
    bins hold, which that does not tell.

    Args:
        y, p: ``[N]``.

    Returns:
        ``bin, rows, predicted, observed``.

    Raises:
        UserError: as metrics do.
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
    """Of the logistic regression of `y` on the logit of `p`: 1 and 0 where p is calibrated.

    A slope below 1 means that probabilities are too extreme. Source: Cox, "Two further applications
    of a model for binary regression", Biometrika 45, 1958. nan where all labels or all
    probabilities are the same, and where some threshold tells the labels apart without a mistake,
    as no slope is then the best.

    Raises:
        UserError: as metrics do.
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

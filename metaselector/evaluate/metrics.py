"""AUC, logloss, GAUC, RelaImpr, and the share of the gap to the oracle that a model closes.

``y`` is 0 or 1, ``[N]``; ``p`` is the predicted probability of 1, ``[N]``; ``users`` is the user of
every row, ``[N]``. Other values raise :class:`~metaselector.common.errors.UserError`: labels other
than 0 or 1, predictions that are nan or outside of [0, 1], missing users, different lengths. An
undefined metric is nan: any metric without rows, and AUC of a single class.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import log_loss, roc_auc_score

from metaselector.common.errors import UserError
from metaselector.evaluate.checks import checked_rows
from metaselector.evaluate.losses import user_codes


def auc(y: ArrayLike, p: ArrayLike) -> float:
    """Area under the ROC curve, with ties counting one half; nan for a single class.

    Example:
        >>> auc([0, 1, 1], [0.2, 0.2, 0.7])
        0.75
    """
    labels, predicted = checked_rows(y, p)
    if labels.size == 0 or (labels == labels[0]).all():
        return math.nan
    return float(roc_auc_score(labels, predicted))


def logloss(y: ArrayLike, p: ArrayLike) -> float:
    """Mean logloss in nats; `p` is clipped as in ``losses.row_logloss``.

    Example:
        >>> round(logloss([0, 1], [0.5, 0.5]), 4)
        0.6931
    """
    labels, predicted = checked_rows(y, p)
    return float(log_loss(labels, predicted, labels=[0, 1])) if labels.size else math.nan


def gauc(y: ArrayLike, p: ArrayLike, users: ArrayLike) -> tuple[float, int]:
    """Mean AUC per user, weighted by the user's number of rows.

    ``GAUC = sum_u n_u AUC_u / sum_u n_u`` over users with rows of both classes; other users have no
    AUC and are left out of both sums. Source: Zhou et al., "Deep Interest Network for Click-Through
    Rate Prediction", KDD 2018 (weighted by impressions there), after Zhu et al., "Optimized Cost
    per Click in Taobao Display Advertising", KDD 2017.

    Returns:
        GAUC, nan if no user has both classes; and the number of users with both classes.

    Example:
        >>> gauc([0, 1, 1, 0], [0.2, 0.7, 0.1, 0.4], ["ann", "ann", "bob", "bob"])
        (0.5, 2)
    """
    labels, scores = checked_rows(y, p, users)
    codes, _ = user_codes(users)
    order = np.lexsort((scores, codes))
    labels, scores, codes = labels[order], scores[order], codes[order]
    size = np.bincount(codes)
    first_of_user = np.cumsum(size) - size
    # Rows of one user with one score share the mean of their ranks.
    starts = np.ones(len(codes), dtype=bool)
    starts[1:] = (np.diff(codes) != 0) | (np.diff(scores) != 0)
    first = np.flatnonzero(starts)
    tied = np.diff(first, append=len(codes))
    rank = np.repeat(first + (tied + 1) / 2, tied) - first_of_user[codes]  # 1 to n_u
    positive = np.bincount(codes, weights=labels)
    both = (positive > 0) & (positive < size)
    if not both.any():
        return math.nan, 0
    rank_sum = np.bincount(codes, weights=labels * rank)[both]
    positive, size = positive[both], size[both]
    # Mann and Whitney: pairs in the right order over all pairs.
    areas = (rank_sum - positive * (positive + 1) / 2) / (positive * (size - positive))
    return float(np.average(areas, weights=size)), int(both.sum())


def rela_impr(auc: float, base_auc: float) -> float:
    """Relative improvement of AUC over a base model, in percent.

    ``((auc - 0.5) / (base_auc - 0.5) - 1) * 100``. Source: Yan et al., "Coupled Group Lasso for
    Web-Scale CTR Prediction in Display Advertising", ICML 2014. nan if the base model's AUC is 0.5
    or an AUC is nan.

    Raises:
        UserError: an AUC is not in [0, 1].

    Example:
        >>> round(rela_impr(0.8, 0.75), 6)
        20.0
    """
    for value in (auc, base_auc):
        if value < 0 or value > 1:
            raise UserError(f"AUC {value:g} is not in [0, 1]")
    return ((auc - 0.5) / (base_auc - 0.5) - 1) * 100 if base_auc != 0.5 else math.nan


def gap_closed(value: float, best_single: float, oracle: float) -> float:
    """``(best_single - value) / (best_single - oracle)``: 0 at the best single, 1 at the oracle.

    Works for logloss and for AUC, where both differences change sign. Negative if the model is
    worse than the best single model, above 1 if it beats the oracle, nan if there is no gap or a
    value is nan.

    Raises:
        UserError: a value is infinite.

    Example:
        >>> round(gap_closed(0.55, best_single=0.60, oracle=0.50), 6)
        0.5
    """
    if any(map(math.isinf, (value, best_single, oracle))):
        raise UserError(f"gap closed: {value:g}, {best_single:g} and {oracle:g} must be finite")
    gap = best_single - oracle
    return (best_single - value) / gap if gap else math.nan


Metric = Callable[[ArrayLike, ArrayLike, ArrayLike], float]
"""``(y, p, users) -> value``."""

METRICS: dict[str, Metric] = {
    "auc": lambda y, p, users: auc(y, p),
    "logloss": lambda y, p, users: logloss(y, p),
    "gauc": lambda y, p, users: gauc(y, p, users)[0],
}
"""All metrics of predictions, by name."""

"""AUC, logloss, GAUC, and how much of what was to be won a model wins.

``y`` is 0 or 1, ``[N]``; ``p`` is the predicted probability of 1, ``[N]``; ``users`` is the user of
every row, ``[N]``. Anything else is a :class:`~metaselector.common.errors.UserError`: a label that
is not 0 or 1, a prediction that is nan or outside of 0 to 1, a missing user, or different lengths.
A metric is nan where it is undefined: without rows, and AUC of a single class.
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
    """Area under the ROC curve, ties counting one half; nan where `y` holds a single class.

    Example:
        >>> auc([0, 0, 1, 1], [0.1, 0.7, 0.4, 0.9])
        0.75
    """
    labels, predicted = checked_rows(y, p)
    if labels.size == 0 or (labels == labels[0]).all():
        return math.nan
    return float(roc_auc_score(labels, predicted))


def logloss(y: ArrayLike, p: ArrayLike) -> float:
    """Mean logloss in nats; `p` is clipped as in ``row_logloss``.

    Example:
        >>> round(logloss([0, 1], [0.1, 0.8]), 4)
        0.1643
    """
    labels, predicted = checked_rows(y, p)
    return float(log_loss(labels, predicted, labels=[0, 1])) if labels.size else math.nan


def gauc(y: ArrayLike, p: ArrayLike, users: ArrayLike) -> tuple[float, int]:
    """Mean of the users' own AUCs, weighted by their number of rows.

    ``GAUC = sum_u n_u AUC_u / sum_u n_u`` over users with rows of both classes; the others have no
    AUC and are left out of both sums. Source: Zhou et al., "Deep Interest Network for Click-Through
    Rate Prediction", KDD 2018 (there weighted by impressions), who take it from Zhu et al.,
    "Optimized Cost per Click in Taobao Display Advertising", KDD 2017.

    Returns:
        GAUC, nan where no user has both classes; and the number of users that do.

    Example:
        >>> users = ["ann", "ann", "bob", "bob", "cem"]  # cem has rows of one class only
        >>> gauc([0, 1, 0, 1, 1], [0.1, 0.8, 0.6, 0.4, 0.5], users)
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
    """Relative improvement over a base model, in percent; nan where the base model's AUC is 0.5.

    ``((auc - 0.5) / (base_auc - 0.5) - 1) * 100``. Source: Yan et al., "Coupled Group Lasso for
    Web-Scale CTR Prediction in Display Advertising", ICML 2014. nan where an AUC is nan.

    Raises:
        UserError: an AUC is outside of 0 to 1.

    Example:
        >>> round(rela_impr(auc=0.78, base_auc=0.75), 6)
        12.0
    """
    for value in (auc, base_auc):
        if value < 0 or value > 1:
            raise UserError(f"an AUC of {value:g} is outside of 0 to 1")
    return ((auc - 0.5) / (base_auc - 0.5) - 1) * 100 if base_auc != 0.5 else math.nan


def gap_closed(value: float, best_single: float, oracle: float) -> float:
    """``(best_single - value) / (best_single - oracle)``: 0 at the best single, 1 at the oracle.

    The same for logloss and for AUC, where both differences change sign. Negative where the model
    is worse than the best single one, above 1 where it passes the oracle, nan without a gap or
    where one of them is nan.

    Raises:
        UserError: one of them is infinite.

    Example:
        >>> round(gap_closed(value=0.53, best_single=0.54, oracle=0.50), 6)
        0.25
    """
    if any(map(math.isinf, (value, best_single, oracle))):
        raise UserError(f"gap closed of {value:g}, {best_single:g} and {oracle:g}: one is infinite")
    gap = best_single - oracle
    return (best_single - value) / gap if gap else math.nan


Metric = Callable[[ArrayLike, ArrayLike, ArrayLike], float]
"""``(y, p, users) -> value``."""

METRICS: dict[str, Metric] = {
    "auc": lambda y, p, users: auc(y, p),
    "logloss": lambda y, p, users: logloss(y, p),
    "gauc": lambda y, p, users: gauc(y, p, users)[0],
}
"""Every metric of predictions as ``(y, p, users) -> value``."""

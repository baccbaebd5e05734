"""AUC, logloss, ranking metrics by user, RelaImpr, and the share of a gap that a model closes.

``y`` is 0 or 1, ``[N]``; ``p`` is the predicted probability of 1, ``[N]``; ``users`` is the user of
every row, ``[N]``. Other values raise :class:`~metaselector.common.errors.UserError`: labels other
than 0 or 1, predictions that are nan or outside of [0, 1], missing users, different lengths. An
undefined metric is nan: any metric without rows, and AUC of a single class.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from numpy.typing import ArrayLike
from sklearn.metrics import log_loss, roc_auc_score

from metaselector.common.errors import UserError
from metaselector.evaluate.checks import checked_rows
from metaselector.evaluate.losses import user_codes
from metaselector.evaluate.ranking import user_rankings


def auc(y: ArrayLike, p: ArrayLike) -> float:
    """Area under the ROC curve, with ties counting one half; nan for a single class.

    Example:
        >>> auc([0, 0, 1, 1], [0.1, 0.7, 0.4, 0.9])
        0.75
    """
    labels, predicted = checked_rows(y, p)
    if labels.size == 0 or (labels == labels[0]).all():
        return math.nan
    return float(roc_auc_score(labels, predicted))


def logloss(y: ArrayLike, p: ArrayLike) -> float:
    """Mean logloss in nats; `p` is clipped as in ``losses.row_logloss``.

    Example:
        >>> round(logloss([0, 1], [0.1, 0.8]), 4)
        0.1643
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
        >>> users = ["ann", "ann", "bob", "bob", "cem"]  # cem has rows of one class only
        >>> gauc([0, 1, 0, 1, 1], [0.1, 0.8, 0.6, 0.4, 0.5], users)
        (0.5, 2)
    """
    return _mean_of_users(y, p, users, "gauc")


def ndcg(y: ArrayLike, p: ArrayLike, users: ArrayLike) -> tuple[float, int]:
    """Mean NDCG@10 of users; every user counts once.

    A user's rows are ranked by `p`, and positive rows are relevant; ties have their expected value
    (:mod:`metaselector.evaluate.ranking`, with sources). Users with rows of one class are left out:
    no order of their rows is better than another.

    Returns:
        NDCG@10, nan if no user has both classes; and the number of users with both classes.

    Example:
        >>> users = ["ann", "ann", "bob", "bob", "cem"]  # cem has rows of one class only
        >>> value, n_users = ndcg([0, 1, 0, 1, 1], [0.1, 0.8, 0.6, 0.4, 0.5], users)
        >>> round(value, 4), n_users
        (0.8155, 2)
    """
    return _mean_of_users(y, p, users, "ndcg_10")


def mrr(y: ArrayLike, p: ArrayLike, users: ArrayLike) -> tuple[float, int]:
    """Mean reciprocal rank: the mean over users of 1 / rank of their first positive row.

    Ties and users with rows of one class are treated as in :func:`ndcg`. Source: Voorhees, "The
    TREC-8 Question Answering Track Report", 1999.

    Returns:
        MRR, nan if no user has both classes; and the number of users with both classes.

    Example:
        >>> users = ["ann", "ann", "bob", "bob", "cem"]  # cem has rows of one class only
        >>> mrr([0, 1, 0, 1, 1], [0.1, 0.8, 0.6, 0.4, 0.5], users)
        (0.75, 2)
    """
    return _mean_of_users(y, p, users, "mrr")


def _mean_of_users(y: ArrayLike, p: ArrayLike, users: ArrayLike, metric: str) -> tuple[float, int]:
    labels, scores = checked_rows(y, p, users)
    codes, names = user_codes(users)
    return user_rankings(labels, scores, codes, len(names)).mean(metric)


def rela_impr(auc: float, base_auc: float) -> float:
    """Relative improvement of AUC over a base model, in percent.

    ``((auc - 0.5) / (base_auc - 0.5) - 1) * 100``. Source: Yan et al., "Coupled Group Lasso for
    Web-Scale CTR Prediction in Display Advertising", ICML 2014. nan if the base model's AUC is 0.5
    or an AUC is nan.

    Raises:
        UserError: an AUC is outside of 0 to 1.

    Example:
        >>> round(rela_impr(auc=0.78, base_auc=0.75), 6)
        12.0
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
        >>> round(gap_closed(value=0.53, best_single=0.54, oracle=0.50), 6)
        0.25
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
    "ndcg_10": lambda y, p, users: ndcg(y, p, users)[0],
    "mrr": lambda y, p, users: mrr(y, p, users)[0],
}
"""All metrics of predictions, by name."""

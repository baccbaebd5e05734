"""Stacking: a classifier on the logits of the base models.

Source: Wolpert, "Stacked generalization", Neural Networks 5, 1992.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold

from metaselector.data.interactions import Floats
from metaselector.evaluate.combiners.contract import Predictions, labelled, logits
from metaselector.evaluate.losses import row_logloss

FOLDS = 5
CS = tuple(10.0**power for power in range(-4, 4))
"""Candidates for the inverse strength of the L2 penalty, the most cautious first."""
MOST_ROWS = 200_000
"""Rows that stacking is fitted on, of users drawn at random, if there are more: few weights and
small trees need no more, and cross-validation repeats each fit."""
_AT_ONCE = 2**18
"""Rows that trees predict at a time, to limit memory."""
ROUNDS, PATIENCE = 500, 25
"""Maximum number of trees, and trees without a better loss before stopping."""
_TREES = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}

CAUTION = (2000.0, 200.0, 20.0)
"""Candidates for LightGBM's ``cat_smooth`` and ``cat_l2``, the most cautious first. Categories with
fewer rows are never split on, and the sums of others are shrunk towards 0. The default is 10."""

Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


class StackingLogistic:
    """scikit-learn's logistic regression; C is chosen by cross-validation over users.

    If all labels are equal there is nothing to learn, and the mean of the base models is predicted.
    """

    def fit(self, fitting: Predictions) -> Self:
        """Choose C, then fit on all rows, or on :data:`MOST_ROWS` of them."""
        fitting = some_rows(fitting)
        y = labelled(fitting)
        self._model: Any = None
        if one_class(y):
            return self
        folds = user_folds(fitting)
        model = LogisticRegression(C=CS[0], tol=1e-8, max_iter=1000)
        if folds:
            model = GridSearchCV(model, {"C": CS}, scoring=_score, cv=folds)
        self._model = model.fit(logits(fitting.base), y)
        return self

    def predict(self, test: Predictions) -> Floats:
        """float64 ``[N]``."""
        if self._model is None:
            return np.asarray(test.base.mean(axis=1))
        return np.asarray(self._model.predict_proba(logits(test.base))[:, 1])


class StackingLightGBM:
    """LightGBM trees; their number is chosen by cross-validation over users.

    Trees are small and the learning rate is low, which suits few features (7 leaves, rate 0.05);
    neither is tuned. Needs the library lightgbm. If all labels are equal, the mean of the base
    models is predicted. Source: Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision
    Tree", NeurIPS 2017.

    Args:
        features: whether the trees also see the rows' features. The same cross-validation then
            chooses from :data:`CAUTION` how cautiously to treat categories with few rows, such as
            items and users. Users in a validation fold are unknown to the trees, so memorising
            single users gains nothing.
    """

    def __init__(self, *, features: bool = False) -> None:
        self._sees_features = features

    def fit(self, fitting: Predictions) -> Self:
        """Choose the number of trees and their caution, then fit on the same rows.

        Raises:
            ValueError: the trees use features, but the rows have none.
        """
        import lightgbm

        fitting = some_rows(fitting)
        y = labelled(fitting)
        self._model: Any = None
        if one_class(y):
            return self
        folds = user_folds(fitting)
        seen, categories = self._seen(fitting)
        candidates = [{"cat_smooth": c, "cat_l2": c} for c in CAUTION] if categories else [{}]
        chosen, rounds, lowest = candidates[0], 1, np.inf

        def data() -> Any:
            return lightgbm.Dataset(seen, y, categorical_feature=categories)

        for settings in candidates if folds else []:
            losses = lightgbm.cv(
                _TREES | settings,
                data(),
                ROUNDS,
                folds=folds,
                callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
            )["valid binary_logloss-mean"]
            if losses[-1] < lowest:  # loss of the best round; later rounds are cut off
                chosen, rounds, lowest = settings, len(losses), losses[-1]
        self._model = lightgbm.train(_TREES | chosen, data(), rounds)
        return self

    def predict(self, test: Predictions) -> Floats:
        """float64 ``[N]``."""
        if self._model is None:
            return np.asarray(test.base.mean(axis=1))
        place, found = np.arange(len(test.users)), []
        for start in range(0, max(len(place), 1), _AT_ONCE):
            few = (place >= start) & (place < start + _AT_ONCE)
            seen, _ = self._seen(test.some(few, labels=False))
            found.append(self._model.predict(seen, num_threads=1))
        return np.concatenate(found)

    def _seen(self, rows: Predictions) -> tuple[Floats, list[int]]:
        """Inputs of the trees, ``[M, K]`` or ``[M, K + G]``, and their categorical columns."""
        outputs = logits(rows.base)
        if not self._sees_features:
            return outputs, []
        if rows.features is None:
            raise ValueError("these rows have no features")
        first = outputs.shape[1]
        return np.hstack([outputs, rows.features]), [first + column for column in rows.categorical]


def some_rows(fitting: Predictions) -> Predictions:
    """All rows, or those of as many users as have :data:`MOST_ROWS`, the same in every call."""
    if len(fitting.users) <= MOST_ROWS:
        return fitting
    codes, names = pd.factorize(fitting.users, sort=True)
    drawn = np.random.default_rng(0).permutation(len(names))
    most = np.searchsorted(np.cumsum(np.bincount(codes)[drawn]), MOST_ROWS, side="right")
    kept = np.isin(codes, drawn[: max(int(most), 1)])
    return fitting.some(kept, labels=True)


def one_class(y: Floats) -> bool:
    """Whether all labels are equal."""
    return bool((y == y[0]).all())


def user_folds(fitting: Predictions) -> Folds:
    """Up to 5 folds of users to fit on and users to score.

    Rows of a user stay together; names decide which users share a fold. Folds with a single class
    to fit on are left out; a single user gives no folds.
    """
    y, (codes, names) = fitting.labels(), pd.factorize(fitting.users, sort=True)
    if len(names) < 2:
        return []
    parts = GroupKFold(min(FOLDS, len(names))).split(fitting.base, groups=codes)
    return [(fitted, scored) for fitted, scored in parts if not one_class(y[fitted])]


def _score(model: Any, features: Floats, y: Floats) -> float:
    """Negative logloss, also defined for rows of a single class."""
    return -float(row_logloss(y, model.predict_proba(features)[:, 1]).mean())

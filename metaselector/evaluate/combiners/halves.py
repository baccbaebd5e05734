"""Choosing a setting on the rows that a combiner is fitted on, without looking ahead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.evaluate.combiners.contract import Combiner, Predictions
from metaselector.evaluate.losses import row_logloss


def earlier_half(fitting: Predictions) -> NDArray[np.bool_]:
    """True ``[M]`` on the first ``n // 2`` of every user's n rows, by time."""
    by_user = pd.Series(fitting.order).groupby(fitting.users)
    rank = by_user.rank(method="first")  # 1 to n
    return (rank <= by_user.transform("size") // 2).to_numpy(dtype=np.bool_)


def halves(fitting: Predictions) -> tuple[Predictions, Predictions]:
    """The earlier half of every user's labelled rows, and the rest."""
    early = earlier_half(fitting)
    return fitting.some(early, labels=True), fitting.some(~early, labels=True)


def choose(
    settings: Sequence[float],
    make: Callable[[float], Combiner],
    before: Predictions,
    after: Predictions,
) -> float:
    """The setting that predicts users' later rows best after fitting on their earlier ones.

    Args:
        settings: candidates, the most cautious first, which is taken among equals.
        make: a combiner from a setting.
        before, after: labelled rows, fitted on and scored.
    """
    y, unseen = after.labels(), after.unlabelled()
    losses = [
        row_logloss(y, make(setting).fit(before).predict(unseen)).mean() for setting in settings
    ]
    return settings[int(np.argmin(losses))]

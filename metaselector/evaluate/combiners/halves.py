"""Tune a combiner's setting on its fitting rows, without looking ahead in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.evaluate.combiners.contract import Combiner, Predictions, labelled
from metaselector.evaluate.losses import row_logloss


def earlier_half(fitting: Predictions) -> NDArray[np.bool_]:
    """True ``[M]`` for the first ``n // 2`` of each user's n rows, by time."""
    by_user = pd.Series(fitting.order).groupby(fitting.users)
    rank = by_user.rank(method="first")  # 1 to n
    return (rank <= by_user.transform("size") // 2).to_numpy(dtype=np.bool_)


def halves(fitting: Predictions) -> tuple[Predictions, Predictions]:
    """The earlier half of each user's labelled rows, and the rest."""
    early = earlier_half(fitting)
    return fitting.some(early, labels=True), fitting.some(~early, labels=True)


def choose(
    settings: Sequence[float],
    make: Callable[[float], Combiner],
    before: Predictions,
    after: Predictions,
) -> float:
    """The setting that predicts users' later rows best when fitted on their earlier rows.

    Args:
        settings: candidates, the most cautious first; the first among equals is chosen.
        make: builds a combiner from a setting.
        before, after: labelled rows to fit on, and to score.
    """
    y, unseen = after.labels(), after.unlabelled()
    losses = [
        row_logloss(y, make(setting).fit(before).predict(unseen)).mean() for setting in settings
    ]
    return settings[int(np.argmin(losses))]


def given_or_chosen(
    given: float | None,
    settings: Sequence[float],
    make: Callable[[float], Combiner],
    fitting: Predictions,
) -> float:
    """`given`, or without it the setting that :func:`choose` finds on the halves of `fitting`.

    Raises:
        ValueError: there are no rows to choose on.
    """
    if given is not None:
        return given
    labelled(fitting)
    return choose(settings, make, *halves(fitting))

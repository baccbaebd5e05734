"""A user whom MetaSelector has adapted to."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.common.errors import DataError, UserError
from metaselector.data.preparation.given_labels import warn_labels
from metaselector.data.preparation.given_rows import interactions_of
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.preparation.unknown import find_unknown, warn_unknown
from metaselector.data.raw.columns import checked, keys
from metaselector.inference.scoring import both_classes, score_of
from metaselector.inference.trace import trace
from metaselector.inference.trained import TrainedModel, UserPredictions
from metaselector.meta.memory import Memory

HISTORY, CANDIDATES = Path("history"), Path("candidates")
OCCASIONS = 4
"""For how many times of the first candidate an adapted user remembers the result."""


class AdaptedUser:
    """One user with their history.

    The first prediction adapts the base models and the selector on the most recent rows of
    `history`, in some tens of milliseconds, and later ones reuse what it found. They adapt again
    only if rows of the history have another age at the first candidate, and thus another weight.

    Args:
        model: the trained model.
        history: labelled rows of one user, with the columns of the data's own files; without rows,
            nothing adapts.
        support_size: the number of most recent rows to adapt on; by default as in training. With 0
            nothing adapts. Features are computed from all of `history`.
        allow_unknown: continue if the model knows none of the items, or none of the words of a
            feature. Unknown users, or a part of the items or words, only cause a warning.

    Attributes:
        model: the trained model, with `support_size`.
        history: the raw rows of the history.
        name: the user's name; None without history.

    Raises:
        DataError: a column is missing, a value is wrong, there are rows of several users, or all
            items are unknown.
        UserError: `support_size` is negative.

    Warns:
        UnknownWarning: users, items or words are unknown to the model.
        LabelWarning: a label holds 0 and 1 where ratings are expected.
    """

    def __init__(
        self,
        model: TrainedModel,
        history: pd.DataFrame,
        *,
        support_size: int | None = None,
        allow_unknown: bool = False,
    ) -> None:
        model = with_support(model, support_size)
        given, user = RawRows.of_frame(model.encoder, history, HISTORY), None
        if len(history):
            for _ in interactions_of(model.encoder, given, labelled=True):
                pass  # all values are checked now, not at the first prediction
            user = _only_user(model, given)
            warn_unknown(HISTORY, find_unknown(model.encoder, given, allow=allow_unknown))
            warn_labels(model.encoder, HISTORY, given.blocks)
        self._set(model, given, user, allow_unknown)

    @classmethod
    def of_rows(
        cls, model: TrainedModel, history: RawRows, user: str, *, allow_unknown: bool
    ) -> Self:
        """The user called `user`, with rows of their history that are checked already."""
        adapted = cls.__new__(cls)
        adapted._set(model, history, user, allow_unknown)
        return adapted

    def _set(
        self, model: TrainedModel, history: RawRows, user: str | None, allow_unknown: bool
    ) -> None:
        self.model, self.history, self.name = model, history, user
        self._allow_unknown = allow_unknown
        self._predicted: UserPredictions | None = None
        self._memory = Memory(OCCASIONS)

    def predict(self, candidates: pd.DataFrame) -> NDArray[np.float64]:
        """Probability that each of the candidates is positive.

        Their history features count the user's strictly earlier positives.

        Args:
            candidates: rows with all columns of the data; labels may be left out, and so may the
                user. New users and items are allowed; columns named after features may hold
                their features.

        Returns:
            float64 ``[n]`` in the order of `candidates`; ``[n, T]`` with several tasks.

        Raises:
            DataError: a column is missing, a value is wrong, a row belongs to another user, or all
                items are unknown.

        Warns:
            UnknownWarning: users, items or words are unknown to the model.
        """
        return self.predict_rows(self.rows_of(candidates)).probabilities

    def predict_rows(self, given: RawRows) -> UserPredictions:
        """Predictions of raw rows in their order; raises and warns as :meth:`predict`."""
        encoder = self.model.encoder
        column = encoder.rows.column("user")
        given.require(encoder, labelled=False)
        if len(given):
            found = _only_user(self.model, given)
            if self.name is not None and found != self.name:
                problem = f"belongs to user '{found}', but the history to '{self.name}'"
                raise DataError(CANDIDATES, f"{problem}; adapt to that user first", column=column)
        unknown = find_unknown(encoder, given, allow=self._allow_unknown)
        self._predicted = self.model.predict(self.history, given, self._memory)
        if self.name is not None:  # an unknown user was warned of with the history
            unknown = [one for one in unknown if one.what != "users"]
        warn_unknown(CANDIDATES, unknown)
        return self._predicted

    def rows_of(self, candidates: pd.DataFrame) -> RawRows:
        """The candidates, with the user's name."""
        encoder = self.model.encoder
        given = RawRows.of_frame(encoder, candidates, CANDIDATES)
        column = encoder.rows.column("user")
        if column not in given.names and self.name is not None:
            return given.with_user(column, self.name)
        return given

    def __repr__(self) -> str:
        rows = len(self.history)
        used = min(rows, self.model.support_size)
        who = "nobody" if self.name is None else repr(self.name)
        facts = f"{who}, {rows:,} rows of history, adapts on {used:,}"
        return f"{type(self).__name__}({facts}, {' + '.join(self.model.base_models)})"

    def _repr_html_(self) -> str:
        table = self.trace.round(4).to_html(index=False, border=0)
        return f"<p><code>{escape(repr(self))}</code></p>{table}"

    def predict_proba(self, candidates: pd.DataFrame) -> NDArray[np.float64]:
        """Probabilities of a negative and of a positive, as scikit-learn's classifiers give them.

        Returns:
            float64 ``[n, 2]``, or ``[n, T, 2]`` with several tasks; raises and warns as
            :meth:`predict`.
        """
        return both_classes(self.predict(candidates))

    def score(
        self, candidates: pd.DataFrame, *, metric: str = "auc", task: str | None = None
    ) -> float:
        """How well labelled candidates are predicted; more is better.

        Args:
            candidates: rows with labels.
            metric, task: as for :func:`~metaselector.inference.scoring.score_of`.
        """
        given = self.rows_of(candidates)
        return score_of(self.model, given, self.predict(candidates), metric, task)

    def explore(self, candidates: pd.DataFrame | None = None) -> Any:
        """Explore in a notebook what moves this user's weights and predictions.

        Shows the history, the weights by inner step and the predictions, and lets you remove rows
        of the history, flip their labels, and change the inner steps and the support size.

        Args:
            candidates: rows to predict; without them, the latest rows of the history are held out
                and predicted next to their labels.

        Returns:
            A :class:`~metaselector.inference.explorer.Explorer`, which the notebook shows.

        Raises:
            UserError: ipywidgets is not installed, or there is no history.
        """
        from metaselector.inference.explorer import Explorer

        return Explorer(self, candidates)

    @property
    def weights(self) -> pd.DataFrame:
        """Weights of the last prediction: one row per candidate, one column per base model.

        With several tasks, columns are pairs of base model and task.

        Raises:
            UserError: nothing has been predicted yet.
        """
        if self._predicted is None:
            raise UserError("weights are those of a prediction; call predict first")
        return weights_frame(self.model, self._predicted.weights)

    @cached_property
    def trace(self) -> pd.DataFrame:
        """The effect of each inner step; see :func:`metaselector.inference.trace.trace`."""
        if not len(self.history) or not self.model.support_size:
            return pd.DataFrame(columns=["step", "support_loss"])
        nothing = self.history.without_rows()
        return trace(self.model, self.model.encode(self.history, nothing))


def with_support(model: TrainedModel, support_size: int | None) -> TrainedModel:
    """The model that adapts on at most so many rows; None is as in training.

    Raises:
        UserError: the number is negative.
    """
    if support_size is None:
        return model
    if support_size < 0:
        raise UserError(f"support_size: give 0 rows or more, not {support_size}")
    return replace(model, most_support=support_size)


def weights_frame(model: TrainedModel, weights: NDArray[np.float32]) -> pd.DataFrame:
    """Weights ``[n, K]`` or ``[n, K, T]`` with the names of base models and tasks."""
    names, tasks = model.base_models, model.encoder.schema.tasks
    if weights.ndim == 2:
        return pd.DataFrame(weights, columns=names)
    columns = pd.MultiIndex.from_product([names, tasks], names=["base_model", "task"])
    return pd.DataFrame(weights.reshape(len(weights), -1), columns=columns)  # [n, K * T]


def _only_user(model: TrainedModel, given: RawRows) -> str:
    column = model.encoder.rows.column("user")
    found = (checked(block, column, keys) for block in given.blocks)
    users = [user for block in found for user in block.unique().to_pylist()]
    if len(users) > 1:
        some = ", ".join(f"'{user}'" for user in users[:3])
        problem = f"has rows of {len(users)} users, such as {some}; give those of one user"
        raise DataError(given.source, problem, column=column)
    return users[0]

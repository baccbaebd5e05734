"""A user whom MetaSelector has adapted to."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.adaptation_trace import trace
from metaselector.data.preparation.given_rows import Given, interactions_of
from metaselector.errors import DataError, UserError
from metaselector.trained import Predicted, Trained

HISTORY, CANDIDATES = Path("history"), Path("candidates")


class AdaptedUser:
    """One user, with what they are known to have done.

    The base models and the selector take the inner steps on the latest rows of `history`; every
    prediction takes them anew (some tens of milliseconds), so that nothing is held in between.

    Args:
        model: what adapts.
        history: rows of one user with labels, columns as the data's own files call them; with none,
            nothing adapts.
        support_size: how many of the latest rows are adapted on; by default as many as in training.
            Features are made of all of `history`; with 0 that is all it is for.

    Raises:
        DataError: a column is missing, a value wrong, or there are rows of several users.
        UserError: `support_size` is negative.
    """

    def __init__(
        self, model: Trained, history: pd.DataFrame, *, support_size: int | None = None
    ) -> None:
        if support_size is not None and support_size < 0:
            raise UserError(f"support_size: give 0 rows or more, not {support_size}")
        self._model = model if support_size is None else replace(model, most_support=support_size)
        self._history = Given(history.reset_index(drop=True), HISTORY)
        self._predicted: Predicted | None = None
        if len(history):
            users = interactions_of(model.known, self._history, labelled=True).user
            self._user = _only(users.unique().to_pylist(), self._history, model)

    def predict(self, candidates: pd.DataFrame) -> NDArray[np.float64]:
        """Probability that each of the candidates is positive.

        Their history features are made of the user's positives before them, strictly earlier.

        Args:
            candidates: rows with all columns of the data but labels; they may be left out. Without
                a column of the user they are this user's. Users and items that the data have not
                are allowed, and bring their features in columns of the features' names, if at all.

        Returns:
            float64 ``[n]`` in the order of `candidates`; of several tasks ``[n, T]``.

        Raises:
            DataError: a column is missing, a value wrong, or a row is another user's.
        """
        known = self._model.known
        column = known.rows.column("user")
        frame = candidates.reset_index(drop=True)
        if column not in frame.columns and len(self._history.frame):
            frame = frame.assign(**{column: self._user})
        given = Given(frame, CANDIDATES)
        shape = (0,) if len(known.schema.tasks) == 1 else (0, len(known.schema.tasks))
        if not len(frame):
            given.require(known, labelled=False)
            weights = np.zeros((0, len(self._model.base_models), *shape[1:]), dtype=np.float32)
            self._predicted = Predicted(np.zeros(shape), weights)
            return self._predicted.probabilities
        users = interactions_of(known, given, labelled=False).user.unique().to_pylist()
        found = _only(users, given, self._model)
        if len(self._history.frame) and found != self._user:
            problem = f"is of user '{found}', and the history of '{self._user}'"
            raise DataError(CANDIDATES, f"{problem}; adapt to that user first", column=column)
        self._predicted = self._model.predict(self._history, given)
        return self._predicted.probabilities

    @property
    def weights(self) -> pd.DataFrame:
        """Weights of the last prediction: a row a candidate, a column a base model.

        Of several tasks, columns are pairs of base model and task.

        Raises:
            UserError: nothing was predicted yet.
        """
        if self._predicted is None:
            raise UserError("weights are those of a prediction; call predict first")
        return weights_frame(self._model, self._predicted.weights)

    @cached_property
    def trace(self) -> pd.DataFrame:
        """What each inner step did, as :func:`metaselector.adaptation_trace.trace`."""
        if not len(self._history.frame) or not self._model.support_size:
            return pd.DataFrame(columns=["step", "support_loss"])
        nothing = Given(self._history.frame.iloc[:0], CANDIDATES)
        return trace(self._model, self._model.encode(self._history, nothing))


def weights_frame(model: Trained, weights: NDArray[np.float32]) -> pd.DataFrame:
    """Weights ``[n, K]`` or ``[n, K, T]`` with the names of base models, and of tasks."""
    names, tasks = model.base_models, model.known.schema.tasks
    if weights.ndim == 2:
        return pd.DataFrame(weights, columns=names)
    columns = pd.MultiIndex.from_product([names, tasks], names=["base_model", "task"])
    return pd.DataFrame(weights.reshape(len(weights), -1), columns=columns)  # [n, K * T]


def _only(users: list[str], given: Given, model: Trained) -> str:
    if len(users) > 1:
        some = ", ".join(f"'{user}'" for user in users[:3])
        problem = f"has rows of {len(users)} users, such as {some}; give those of one user"
        raise DataError(given.source, problem, column=model.known.rows.column("user"))
    return users[0]

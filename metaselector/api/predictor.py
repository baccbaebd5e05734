"""Predictions with a trained model, for one user or many."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pandas as pd

from metaselector.data.interactions import Floats
from metaselector.inference.adapted_user import AdaptedUser
from metaselector.inference.adapted_users import AdaptedUsers
from metaselector.inference.trained import TrainedModel


class Predictor(ABC):
    """What a fitted :class:`~metaselector.api.model.MetaSelector` does for users."""

    @property
    @abstractmethod
    def trained(self) -> TrainedModel:
        """The trained model; raises :class:`UserError` if there is none."""

    def adapt(
        self,
        history: pd.DataFrame,
        *,
        support_size: int | None = None,
        allow_unknown: bool = False,
    ) -> AdaptedUser:
        """Adapt to one user, known from the data or not; arguments of :class:`AdaptedUser`."""
        return AdaptedUser(
            self.trained, history, support_size=support_size, allow_unknown=allow_unknown
        )

    def adapt_many(
        self,
        histories: pd.DataFrame,
        *,
        support_size: int | None = None,
        allow_unknown: bool = False,
    ) -> AdaptedUsers:
        """Adapt to all users of `histories`; a mapping from their names to adapted users.

        Arguments are those of :class:`~metaselector.inference.adapted_users.AdaptedUsers`, whose
        ``predict`` predicts the candidates of all users in one call.

        Raises:
            UserError: the model is not fitted, or the histories are invalid.
        """
        return AdaptedUsers(
            self.trained, histories, support_size=support_size, allow_unknown=allow_unknown
        )

    def predict(
        self,
        histories: pd.DataFrame,
        candidates: pd.DataFrame,
        *,
        support_size: int | None = None,
        allow_unknown: bool = False,
    ) -> pd.DataFrame:
        """Predict the candidates of any number of users, each adapted to their own history.

        Args:
            histories: labelled rows with the columns of the data's own files.
            candidates: rows to predict, with the same columns; labels may be left out.
            support_size, allow_unknown: as for :class:`AdaptedUser`.

        Returns:
            `candidates` with the columns ``probability`` and ``weight_<base model>``; see
            :meth:`AdaptedUsers.predict
            <metaselector.inference.adapted_users.AdaptedUsers.predict>`.

        Raises:
            UserError: the model is not fitted, or the rows are invalid.
        """
        users = AdaptedUsers(
            self.trained,
            histories,
            support_size=support_size,
            allow_unknown=allow_unknown,
            remember=False,
        )
        return users.predict(candidates)

    def predict_proba(self, histories: pd.DataFrame, candidates: pd.DataFrame) -> Floats:
        """Probabilities of a negative and of a positive, in the order of `candidates`.

        Arguments and errors are those of :meth:`predict`.

        Returns:
            float64 ``[n, 2]``, or ``[n, T, 2]`` with several tasks.
        """
        users = AdaptedUsers(self.trained, histories, remember=False)
        return users.predict_proba(candidates)

    def score(
        self,
        histories: pd.DataFrame,
        candidates: pd.DataFrame,
        *,
        metric: str = "auc",
        task: str | None = None,
    ) -> float:
        """How well labelled candidates are predicted; more is better.

        Args:
            histories: as for :meth:`predict`.
            candidates: rows with labels.
            metric: ``auc``, ``logloss`` (minus it is returned), ``gauc``, ``ndcg_10`` or ``mrr``.
            task: by default the first.

        Raises:
            UserError: the model is not fitted, or the rows are invalid.
        """
        users = AdaptedUsers(self.trained, histories, remember=False)
        return users.score(candidates, metric=metric, task=task)

"""Many users whom MetaSelector adapts to at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.data.preparation.codes import occurring
from metaselector.data.preparation.given_labels import warn_labels
from metaselector.data.preparation.given_rows import interactions_of
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.preparation.unknown import find_unknown, warn_apart, warn_unknown
from metaselector.data.raw.columns import checked, keys
from metaselector.inference.adapted_user import (
    CANDIDATES,
    HISTORY,
    AdaptedUser,
    weights_frame,
    with_support,
)
from metaselector.inference.scoring import both_classes, score_of
from metaselector.inference.trained import TrainedModel, UserPredictions
from metaselector.meta.memory import Memory

CHUNKS = 64
"""How many chunks of users remember what they adapted to; the latest used."""


class AdaptedUsers(Mapping[str, AdaptedUser]):
    """Users by name, each an :class:`AdaptedUser`; predict for all of them in one call.

    Users adapt when they are first predicted, in chunks of ``adapt.max_users_per_chunk``. A later
    prediction for the same users reuses what they adapted to, as that of an
    :class:`AdaptedUser` does.

    Args:
        model: the trained model.
        histories: labelled rows of any number of users, with the columns of the data's own files.
        support_size, allow_unknown: as for :class:`AdaptedUser`.
        remember: whether to keep what users adapt to for later predictions; without, a single
            one is faster.

    Raises:
        DataError: a column is missing, a value is wrong, or all items are unknown.
        UserError: `support_size` is negative.

    Warns:
        UnknownWarning: users, items or words are unknown to the model.
        LabelWarning: a label holds 0 and 1 where ratings are expected.
    """

    def __init__(
        self,
        model: TrainedModel,
        histories: pd.DataFrame,
        *,
        support_size: int | None = None,
        allow_unknown: bool = False,
        remember: bool = True,
    ) -> None:
        given = RawRows.of_frame(model.encoder, histories, HISTORY)
        given.require(model.encoder, labelled=True)
        for _ in interactions_of(model.encoder, given, labelled=True):
            pass  # all values are checked now, not at the first prediction
        warn_unknown(HISTORY, find_unknown(model.encoder, given, allow=allow_unknown))
        warn_labels(model.encoder, HISTORY, given.blocks)
        self._model, self._histories = with_support(model, support_size), given
        self._allow_unknown = allow_unknown
        self._memory = Memory(CHUNKS) if remember else None
        self._made: dict[str, AdaptedUser] = {}

    def __getitem__(self, user: object) -> AdaptedUser:
        """The user called `user`, text or a whole number as in the data."""
        name = str(user)
        if name not in self._rows:
            raise KeyError(user)
        if name not in self._made:
            rows = self._histories.select(self._owners == self._rows[name])
            self._made[name] = AdaptedUser.of_rows(
                self._model, rows, name, allow_unknown=self._allow_unknown
            )
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, user: object) -> bool:
        return str(user) in self._rows

    def __repr__(self) -> str:
        facts = f"{len(self):,} users, {len(self._histories):,} rows of history"
        return f"{type(self).__name__}({facts}, {' + '.join(self._model.base_models)})"

    def predict(self, candidates: pd.DataFrame) -> pd.DataFrame:
        """Predict the candidates of any of the users.

        Args:
            candidates: rows with all columns of the data; labels may be left out, and so may the
                user if there is only one. Users without history are predicted unadapted.

        Returns:
            `candidates` in their order and with their index, and the columns ``probability`` and
            ``weight_<base model>``; with several tasks ``probability_<task>`` and
            ``weight_<base model>_<task>``. Columns that have such a name already are replaced.

        Raises:
            DataError: a column is missing, a value is wrong, or all items are unknown.

        Warns:
            UnknownWarning: users, items or words are unknown to the model, or none of the users has
                a history.
            CandidateWarning: candidates are older than their user's support, or part of it.
        """
        made = prediction_columns(self._model, self.predict_rows(self._given(candidates)))
        kept = [place for place, name in enumerate(candidates.columns) if name not in made]
        return candidates.iloc[:, kept].assign(**made)

    def predict_proba(self, candidates: pd.DataFrame) -> NDArray[np.float64]:
        """Probabilities of a negative and of a positive, as scikit-learn's classifiers give them.

        Returns:
            float64 ``[n, 2]``, or ``[n, T, 2]`` with several tasks; raises and warns as
            :meth:`predict`.
        """
        return both_classes(self.predict_rows(self._given(candidates)).probabilities)

    def score(
        self, candidates: pd.DataFrame, *, metric: str = "auc", task: str | None = None
    ) -> float:
        """How well labelled candidates are predicted; more is better.

        Args:
            candidates: rows with labels.
            metric, task: as for :func:`~metaselector.inference.scoring.score_of`.
        """
        given = self._given(candidates)
        found = self.predict_rows(given).probabilities
        return score_of(self._model, given, found, metric, task)

    def _given(self, candidates: pd.DataFrame) -> RawRows:
        """The candidates, with the name of the only user if there is one."""
        encoder = self._model.encoder
        given = RawRows.of_frame(encoder, candidates, CANDIDATES)
        column = encoder.rows.column("user")
        if column not in given.names and len(self) == 1:
            return given.with_user(column, next(iter(self)))
        return given

    def predict_rows(self, candidates: RawRows) -> UserPredictions:
        """Predictions of `candidates` in their order; raises and warns as :meth:`predict`."""
        encoder, histories = self._model.encoder, self._histories
        candidates.require(encoder, labelled=False)
        unknown = find_unknown(encoder, candidates, allow=self._allow_unknown)
        found = self._model.predict(histories, candidates, self._memory)
        warn_unknown(candidates.source, unknown)
        warn_apart(encoder, histories, candidates)
        return found

    @cached_property
    def _by_user(self) -> tuple[dict[str, int], NDArray[np.int64]]:
        """A number for each user, and whose each row is."""
        column = self._model.encoder.rows.column("user")
        numbers: dict[str, int] = {}
        owners = [np.zeros(0, dtype=np.int64)]
        for block in self._histories.blocks:
            names, rows = occurring(checked(block, column, keys))
            of_name = [numbers.setdefault(name, len(numbers)) for name in names.to_pylist()]
            owners.append(np.array(of_name)[rows])
        return numbers, np.concatenate(owners)

    @property
    def _rows(self) -> dict[str, int]:
        return self._by_user[0]

    @property
    def _owners(self) -> NDArray[np.int64]:
        return self._by_user[1]


def prediction_columns(
    model: TrainedModel, found: UserPredictions
) -> dict[str, NDArray[np.floating]]:
    """Columns by name: the probabilities, then the weights of the base models."""
    tasks = model.encoder.schema.tasks
    names = ["probability"] if len(tasks) == 1 else [f"probability_{task}" for task in tasks]
    probabilities = found.probabilities.reshape(-1, len(names))  # [n, T]
    made: dict[str, NDArray[np.floating]] = dict(zip(names, probabilities.T, strict=True))
    for name, column in weights_frame(model, found.weights).items():
        parts = name if isinstance(name, tuple) else (name,)
        made["_".join(("weight", *map(str, parts)))] = column.to_numpy()
    return made

"""What moves if a user's history, the inner steps or the support size were different.

:class:`Exploration` holds the changes and computes their effect; ``explorer`` shows both.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd

from metaselector.common.errors import UserError
from metaselector.data.interactions import Floats
from metaselector.data.preparation.given_labels import flipped, positives_of
from metaselector.data.preparation.given_rows import interactions_of
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.inference.adapted_user import AdaptedUser
from metaselector.inference.trained import TrainedModel

HELD_OUT = 10
"""Most rows of the history that are predicted in place of candidates, at most a quarter."""


class Effect(NamedTuple):
    """What adapting does as things stand.

    Attributes:
        trace: by inner step; see :attr:`AdaptedUser.trace`.
        predictions: a row for each candidate: ``item``, ``label`` if it is known, the probability
            ``unadapted``, ``before`` any change, and ``now``, and the weights now.
    """

    trace: pd.DataFrame
    predictions: pd.DataFrame


class Exploration:
    """One user, whose history, inner steps and support size can be changed.

    Args:
        user: whom to start from.
        candidates: rows to predict; without them, the latest rows of the history are held out and
            predicted next to their labels.

    Attributes:
        kept: bool ``[n]``, which rows of :attr:`history` are there; change it in place.
        turned: bool ``[n]``, which rows have the opposite label; change it in place.
        steps: inner steps.
        support_size: most recent rows to adapt on.

    Raises:
        UserError: there is no history, or too little to hold rows out.
    """

    def __init__(self, user: AdaptedUser, candidates: pd.DataFrame | None = None) -> None:
        model, history, name = user.model, user.history, user.name
        if name is None:
            raise UserError("explore: this user has no history; adapt to one who has")
        self._model, self._name = model, name
        self._labels: Floats | None = None
        facts = _facts(model, history)
        order = np.argsort(facts["timestamp"], kind="stable")
        if candidates is None:
            held = min(HELD_OUT, len(facts) // 4)
            if not held:
                raise UserError("explore: give candidates; the history has fewer than 4 rows")
            latest = np.zeros(len(facts), dtype=bool)
            latest[order[-held:]] = True
            self._labels = facts.loc[latest, "label"].to_numpy()
            self._asked, history = history.select(latest), history.select(~latest)
            facts = facts[~latest].reset_index(drop=True)
        else:
            self._asked = user.rows_of(candidates)
        self._rows = history
        self.history = facts
        self.kept = np.ones(len(facts), dtype=bool)
        self.turned = np.zeros(len(facts), dtype=bool)
        self.steps = model.adapted.adaptation.steps
        self.support_size = model.support_size
        self._before = self._user().predict_rows(self._asked).probabilities
        nobody = AdaptedUser.of_rows(
            replace(model, most_support=0), history, name, allow_unknown=True
        )
        self._unadapted = nobody.predict_rows(self._asked).probabilities

    def effect(self) -> Effect:
        """Adapt to the history as it stands, and predict the candidates."""
        user = self._user()
        found = user.predict_rows(self._asked)
        items = [
            found.item.to_pylist()
            for found in interactions_of(self._model.encoder, self._asked, labelled=False)
        ]
        asked = pd.DataFrame({"item": list(chain(*items))})
        if self._labels is not None:
            asked["label"] = self._labels
        for name, p in (
            ("unadapted", self._unadapted),
            ("before", self._before),
            ("now", found.probabilities),
        ):
            asked[name] = p if p.ndim == 1 else p[:, 0]  # the first task
        weights = found.weights if found.weights.ndim == 2 else found.weights[..., 0]
        for k, name in enumerate(self._model.base_models):
            asked[f"weight_{name}"] = weights[:, k]
        return Effect(user.trace, asked)

    def _user(self) -> AdaptedUser:
        """The user with the changed history."""
        model = replace(self._model, most_support=self.support_size, steps=self.steps)
        rows = flipped(self._model.encoder, self._rows, self.turned).select(self.kept)
        return AdaptedUser.of_rows(model, rows, self._name, allow_unknown=True)


def _facts(model: TrainedModel, rows: RawRows) -> pd.DataFrame:
    """``item``, ``timestamp`` and ``label`` of the first task, in the order of `rows`."""
    encoder = model.encoder
    parts = [
        pd.DataFrame(
            {
                "item": found.item.to_pylist(),
                "timestamp": found.timestamps,
                "label": positives_of(encoder, block)[:, 0],
            }
        )
        for found, block in zip(
            interactions_of(encoder, rows, labelled=True), rows.blocks, strict=True
        )
    ]
    return pd.concat(parts, ignore_index=True)

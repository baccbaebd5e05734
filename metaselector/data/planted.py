"""A synthetic world in which the best base model of every user is known.

Every row shows a user an item. An item has an ``effect`` and belongs to a ``cluster``; a user has a
``mood`` and a ``taste``. With e, c, m and t for these, each -1 or +1, the label is Bernoulli with

    type A (additive):     p = sigmoid(0.3 e + 0.15 m)
    type B (interaction):  p = sigmoid(0.3 e + 0.15 m) + 0.38 t c

Features are the item, its cluster, and the user's taste and mood. Only labels distinguish A from B.
All signs are balanced, so

* ``t c`` has no main effects: an additive model cannot predict it, and a logistic regression of all
  users' labels recovers exactly the equation of type A;
* a factorization machine learns half of the ``t c`` of B users, because A users have none. It is
  the better model for every B user and the worse one for every A user.

Both types have the same main effects on purpose. If only A had them, a logistic regression trained
on all users would halve them, and the factorization machine would beat it on those rows of A users
in which the two patterns happen to agree. For the same reason the interaction is added to the
probability: in the logit it would flatten the main effects of the pooled regression.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import PADDING_ID, Field, Schema
from metaselector.data.splitting.windows import Windows

TYPE_A, TYPE_B = 0, 1
RIGHT_MODEL = {TYPE_A: "lr", TYPE_B: "fm"}
ITEM_EFFECT = 0.3
MOOD_EFFECT = 0.15
INTERACTION = 0.38
"""Effect on the probability; the other two are effects on the logit."""


@dataclass(frozen=True)
class PlantedWorld:
    """A synthetic data set and its ground truth.

    Attributes:
        dataset: fields ``item``, ``cluster``, ``taste``, ``mood``, one slot each.
        user_types: int64 ``[n_users]``, ``TYPE_A`` or ``TYPE_B``.
        probabilities: float64 ``[N]``, from which the labels were drawn.
    """

    dataset: EncodedDataset
    user_types: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def planted_world(
    users_per_type: int, rows_per_user: int, items: int, generator: np.random.Generator
) -> PlantedWorld:
    """Draw a world; see the module for its equations.

    Args:
        users_per_type: users of each type; a multiple of 4 balances taste and mood.
        rows_per_user: rows of every user, one per second.
        items: number of items; a multiple of 4 balances effect and cluster.
        generator: source of all randomness.

    Example:
        >>> world = planted_world(2, 5, 4, np.random.default_rng(0))
        >>> world.user_types.tolist(), world.probabilities.shape
        ([1, 0, 0, 1], (20,))
    """
    user_types = np.repeat([TYPE_A, TYPE_B], users_per_type)
    user = np.arange(users_per_type)
    taste, mood = np.tile(user % 2, 2), np.tile(user // 2 % 2, 2)  # 0 and 1 encode -1 and +1
    shuffle = generator.permutation(2 * users_per_type)
    user_types, taste, mood = user_types[shuffle], taste[shuffle], mood[shuffle]

    users = np.repeat(np.arange(2 * users_per_type), rows_per_user)
    item = generator.integers(items, size=len(users))
    codes = np.stack([item, item % 2, taste[users], mood[users]], axis=1)  # [N, C]
    c, t, m = (2 * codes[:, 1:] - 1).T
    e = 2 * (item // 2 % 2) - 1
    additive = 1 / (1 + np.exp(-(ITEM_EFFECT * e + MOOD_EFFECT * m)))
    probabilities = additive + INTERACTION * t * c * (user_types[users] == TYPE_B)
    labels = generator.random(len(users)) < probabilities

    schema = _schema(items)
    first = np.array([field.first_id for field in schema.fields])
    return PlantedWorld(
        EncodedDataset.of_rows(
            schema,
            cells=(first + 1 + codes).astype(np.int32),
            labels=labels.astype(np.float32),
            user_offsets=np.arange(2 * users_per_type + 1) * rows_per_user,
            user_names=tuple(str(user) for user in range(2 * users_per_type)),
        ),
        user_types,
        probabilities,
    )


def _schema(items: int) -> Schema:
    vocabularies = {
        "item": tuple(str(i) for i in range(items)),
        "cluster": ("-1", "+1"),
        "taste": ("-1", "+1"),
        "mood": ("-1", "+1"),
    }
    fields: list[Field] = []
    first_id = PADDING_ID + 1
    for name, words in vocabularies.items():
        field = Field(name=name, kind="categorical", slots=1, first_id=first_id, vocabulary=words)
        fields.append(field)
        first_id += field.num_ids
    return Schema(
        dataset="planted",
        label_threshold=1.0,
        history_length=0,
        windows=(*Windows(),),
        fields=tuple(fields),
    )

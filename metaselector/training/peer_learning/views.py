"""What each of several models sees: fields of its own, or labels of users of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.common.errors import ConfigError, nearest
from metaselector.config import Config
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import PADDING_ID, Schema
from metaselector.data.splitting.windows import user_places


class View(nn.Module):
    """A base model for which all slots but those of some fields are padding.

    Args:
        model: of one task.
        seen: bool ``[C]``, the slots that it sees.
    """

    seen: Tensor

    def __init__(self, model: nn.Module, seen: Sequence[bool]) -> None:
        super().__init__()
        self.model = model
        self.tables = tuple(f"model.{table}" for table in getattr(model, "tables", ()))
        self.register_buffer("seen", torch.tensor(seen), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        ids, values = batch
        logits: Tensor = self.model(
            Batch(ids.masked_fill(~self.seen, PADDING_ID), values.masked_fill(~self.seen, 0))
        )
        return logits


def viewed(model: nn.Module, name: str, config: Config, schema: Schema) -> nn.Module:
    """`model` as the base model called `name` is trained: behind a view, if the settings ask.

    Raises:
        ConfigError: the settings name no fields for it, or one that the data has not.
    """
    fields = config.peer_learning.fields
    if (
        config.peer_learning.strategy != "co-training"
        or fields is None
        or name not in config.taught
    ):
        return model
    if name not in fields:
        raise ConfigError(
            f"peer_learning.fields: names none for base model '{name}'; say which it sees, or "
            "leave the model out"
        )
    known = [field.name for field in schema.fields]
    for field in fields[name]:
        if field not in known:
            raise ConfigError(
                f"peer_learning.fields.{name}: the data has no field '{field}'; "
                + nearest(field, known)
            )
    return View(model, [known[field] in fields[name] for field in schema.slot_fields])


def partition(
    dataset: EncodedDataset, rows: NDArray[np.int64], parts: int, seed: int
) -> list[NDArray[np.int64]]:
    """`rows` in as many disjoint parts, all rows of a user in one of them.

    A user's part is a hash of the name, the same for every window; parts are about equal.

    Raises:
        ConfigError: one of them would be empty.
    """
    of_user = (user_places(dataset.user_names, seed) * parts / 100).astype(np.int64)
    of_row = of_user[dataset.users[rows]]
    found = [rows[of_row == part] for part in range(parts)]
    if not all(len(part) for part in found):
        raise ConfigError(
            f"peer_learning.views=rows: the {len(np.unique(dataset.users[rows]))} users of the "
            f"training rows do not make {parts} parts, one a base model; bring more users, or "
            "choose other views"
        )
    return found

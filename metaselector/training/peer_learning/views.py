"""Views of co-training: each model sees only some fields, or only some users' labels."""

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
    """A base model that sees the slots of some fields; all other slots become padding.

    Args:
        model: a single-task model.
        seen: bool ``[C]``, which slots it sees.
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
    """Wrap `model` in the view that the settings define for base model `name`, if any.

    Raises:
        ConfigError: the settings list no fields for it, or a field that the data lacks.
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
            f"peer_learning.fields: no fields for base model '{name}'; list its fields, or leave "
            "the model out"
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
    """Split `rows` into disjoint parts that keep the rows of a user together.

    A hash of the user's name selects the part, the same one in every window; parts are about equal.

    Raises:
        ConfigError: a part would be empty.
    """
    of_user = (user_places(dataset.user_names, seed) * parts / 100).astype(np.int64)
    of_row = of_user[dataset.users[rows]]
    by_part = [rows[of_row == part] for part in range(parts)]
    if not all(len(part) for part in by_part):
        raise ConfigError(
            f"peer_learning.views=rows: {len(np.unique(dataset.users[rows]))} users with training "
            f"rows are too few for {parts} parts, one per base model; use more users, or choose "
            "other views"
        )
    return by_part

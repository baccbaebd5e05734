"""Our rows as the models of DeepCTR-Torch and torch-rechub read them, and their training loops.

Both libraries read the same fields as our models: a field of one slot is a categorical feature,
a field of several slots a sequence that is pooled by its mean. Every field has an embedding table
with as many rows as ids, plus one for padding, and all tables have the same width. Neither library
accepts a weight per word, so both pool the genres of the history unweighted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaselector.common.errors import UserError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import PADDING_ID

PEERS = ("deepctr-torch", "torch-rechub")


class Column(NamedTuple):
    """A field as the peers read it.

    Attributes:
        size: rows of its embedding table.
        ids: int64 ``[n, slots]``, 0 is padding.
    """

    size: int
    ids: Tensor


def columns(dataset: EncodedDataset, rows: NDArray[np.int64]) -> dict[str, Column]:
    """The slots of `rows` by field; each field has its own id space."""
    ids = dataset.batch(rows).ids
    found: dict[str, Column] = {}
    start = 0
    for field in dataset.schema.fields:
        shared = ids[:, start : start + field.slots]  # [n, slots]
        own = torch.where(shared == PADDING_ID, 0, shared - field.first_id + 1)
        found[field.name] = Column(field.num_ids + 1, own)
        start += field.slots
    return found


@contextmanager
def installed() -> Iterator[None]:
    """Turn a failing import of a peer into a message that says how to install it.

    Raises:
        UserError: a peer that is imported inside is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; run `make benchmark-peers`") from error

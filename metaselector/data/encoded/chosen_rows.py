"""Rows that a training reads over and over, in random order."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset

MOST_SLOTS = 2**26
"""Most slots, 0.8 GB, that are all assembled in advance."""


class ChosenRows:
    """Batches of some rows of a data set.

    Few rows are assembled in advance, which makes reading them several times faster. Of many, each
    batch is assembled when it is asked for, so that memory does not grow with the data.

    Args:
        rows: int64 ``[n]``.
        device: where batches are needed.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> dataset = planted_world(2, 5, 4, np.random.default_rng(0)).dataset
        >>> chosen = ChosenRows(dataset, np.array([3, 7, 11]), torch.device("cpu"))
        >>> found, wanted = chosen.batch(torch.tensor([2, 0])), dataset.batch(np.array([11, 3]))
        >>> torch.equal(found.ids, wanted.ids)
        True
    """

    def __init__(
        self, dataset: EncodedDataset, rows: NDArray[np.int64], device: torch.device
    ) -> None:
        self._dataset, self._rows, self._device = dataset, rows, device
        few = len(rows) * dataset.schema.num_slots <= MOST_SLOTS
        self._whole = dataset.batch(rows).to(device) if few else None

    def batch(self, places: Tensor) -> Batch:
        """The rows at some places, int64 ``[B]``, among the chosen ones."""
        if self._whole is None:
            return self._dataset.batch(self._rows[places.numpy()]).to(self._device)
        chosen = places.to(self._device)
        return Batch(*(slots.index_select(0, chosen) for slots in self._whole))

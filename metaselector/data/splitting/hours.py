"""Hours between the rows of episodes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.data.microseconds import HOUR


def hours_of(
    dataset: EncodedDataset, support: Ints, query: Ints, since: Ints | None = None
) -> tuple[Tensor, Tensor]:
    """Hours of the support and query rows since each user's first query row, 0 for padding.

    Rows of tabular data are a microsecond apart, so their times hardly count.

    Args:
        dataset: the data set.
        support, query: int64 ``[U, S]`` and ``[U, Q]``, -1 for padding.
        since: int64 ``[U]``, rows from which hours count; None: each first query row.

    Returns:
        float32 ``[U, S]`` and ``[U, Q]``.
    """
    asked = np.where(query >= 0, query, len(dataset))
    first = np.minimum(asked.min(axis=1, initial=len(dataset)), len(dataset) - 1)
    first = (first if since is None else since)[:, None]

    def passed(of: Ints) -> Tensor:
        time = dataset.timestamps[np.where(of >= 0, of, first)] - dataset.timestamps[first]
        return torch.from_numpy((time / HOUR).astype(np.float32))

    return passed(support), passed(query)

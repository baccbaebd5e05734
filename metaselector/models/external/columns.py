"""Row features as the models of other libraries take them: ids and standardised numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_MOST_IDS = 2**24
"""Ids are passed as float32, which cannot tell more apart."""


class Columns:
    """The number of ids or the scale of each column, learned from the rows of `table`.

    Args:
        table: int64 and float64 ``[N, G]``.
        categories: names of the columns that hold categories, 0 or more, 0 for unseen ones.

    Attributes:
        sizes: by category column, one more than the highest id in `table`.
        numbers: the other columns.

    Raises:
        ValueError: a column has more ids than float32 can tell apart.
    """

    def __init__(self, table: pd.DataFrame, categories: Sequence[str]) -> None:
        self.sizes = {name: int(table[name].max()) + 1 for name in categories}
        for name, size in self.sizes.items():
            if size > _MOST_IDS:
                raise ValueError(f"column {name} has {size:,} ids, more than {_MOST_IDS:,}")
        self.numbers = [str(name) for name in table if name not in self.sizes]
        numbers = table[self.numbers]
        self._mean, self._scale = numbers.mean().fillna(0), numbers.std(ddof=0).fillna(0)

    def inputs(self, table: pd.DataFrame) -> dict[str, NDArray[np.float32]]:
        """By column, float32 ``[N]``: ids, 0 for those unseen; numbers with mean 0 and deviation 1
        in the rows learned from, and 0 where they are missing."""
        numbers = (table[self.numbers] - self._mean) / self._scale.where(self._scale > 0, 1)
        found = {
            name: table[name].where(table[name] < size, 0) for name, size in self.sizes.items()
        } | {name: numbers[name].fillna(0) for name in self.numbers}
        return {name: column.to_numpy(dtype=np.float32) for name, column in found.items()}

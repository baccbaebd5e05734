"""Order of the rows in a sharded table, and the block that each worker holds."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metaselector.common.errors import ConfigError

GOLDEN = (5**0.5 - 1) / 2
MOST_ROWS = 3_000_000_000
"""Limit at which the product of a row's id and the multiplier still fits into int64."""


class RowOrder:
    """Scatters ids over the places of a table, so that lookups are spread evenly over workers.

    Ids are grouped by field, and a field such as the items may have few ids but nearly all lookups;
    in order of ids, one worker would hold all of them. So row i is stored at place ``i a mod V``,
    with a coprime to V and near V times the golden ratio. This multiplicative hashing (Knuth, "The
    Art of Computer Programming", vol. 3, section 6.4) puts neighbours far apart and can be
    inverted. The order depends only on V, not on the number of workers.

    Args:
        num_rows: V.

    Example:
        >>> order = RowOrder(10)
        >>> order.places(torch.arange(4)), order.ids(0, 3)
        (tensor([0, 7, 4, 1]), tensor([0, 3, 6]))
    """

    def __init__(self, num_rows: int) -> None:
        if num_rows > MOST_ROWS:
            raise ConfigError(
                f"a sharded table of {num_rows:,} rows exceeds the limit of {MOST_ROWS:,}"
            )
        self.num_rows = num_rows
        self._factor = max(1, round(num_rows * GOLDEN))
        while math.gcd(self._factor, num_rows) != 1:
            self._factor += 1
        self._inverse = pow(self._factor, -1, num_rows)

    def places(self, ids: Tensor) -> Tensor:
        """Places of rows."""
        return ids * self._factor % self.num_rows

    def ids(self, first: int, stop: int) -> Tensor:
        """Ids of the rows at places from `first` to `stop`, int64."""
        return torch.arange(first, stop) * self._inverse % self.num_rows


def block_of(num_rows: int, workers: int, rank: int) -> tuple[int, int]:
    """First place and stop of a worker's block, as ``Shard(0)`` of DTensor and ``torch.chunk``.

    Blocks have ``ceil(num_rows / workers)`` rows; the last ones may have fewer or none.
    """
    size = -(-num_rows // workers)
    return min(rank * size, num_rows), min((rank + 1) * size, num_rows)

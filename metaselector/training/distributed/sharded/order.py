"""In which order the rows of a sharded table lie, and who holds which."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metaselector.common.errors import ConfigError

GOLDEN = (5**0.5 - 1) / 2
MOST_ROWS = 3_000_000_000
"""The products of a row's id and the multiplier fit into int64."""


class RowOrder:
    """Scatters ids over the places of a table, so that all workers are asked for as many rows.

    Ids come by field, and a field such as the items may have nearly all lookups and few of the ids:
    were rows in the order of ids, one worker would hold all of them. Row i lies at place ``i a mod
    V`` instead, with a near V times the golden ratio and coprime to V: multiplicative hashing
    (Knuth, "The Art of Computer Programming", vol. 3, section 6.4), which puts neighbours far apart
    and has an inverse. The order depends on V alone, not on the number of workers.

    Args:
        num_rows: V.

    Example:
        >>> order = RowOrder(10)
        >>> order.places(torch.arange(4)), order.ids(0, 3)
        (tensor([0, 7, 4, 1]), tensor([0, 3, 6]))
    """

    def __init__(self, num_rows: int) -> None:
        if num_rows > MOST_ROWS:
            raise ConfigError(f"a sharded table has {MOST_ROWS:,} rows at most, not {num_rows:,}")
        self.num_rows = num_rows
        self._factor = max(1, round(num_rows * GOLDEN))
        while math.gcd(self._factor, num_rows) != 1:
            self._factor += 1
        self._inverse = pow(self._factor, -1, num_rows)

    def places(self, ids: Tensor) -> Tensor:
        """Where rows lie."""
        return ids * self._factor % self.num_rows

    def ids(self, first: int, stop: int) -> Tensor:
        """Which rows lie at places from `first` to `stop`, int64."""
        return torch.arange(first, stop) * self._inverse % self.num_rows


def block_of(num_rows: int, workers: int, rank: int) -> tuple[int, int]:
    """First place and stop of a worker: ``Shard(0)`` of DTensor, which is ``torch.chunk``.

    All blocks have ``ceil(num_rows / workers)`` rows but for the last ones, which may have none.
    """
    size = -(-num_rows // workers)
    return min(rank * size, num_rows), min((rank + 1) * size, num_rows)

"""Exchange rows of a sharded table between workers, in both directions."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from metaselector.training.distributed.sharded.order import RowOrder, block_of


class RowExchange:
    """Routes the rows that each worker requests from their owners.

    It takes three collectives: numbers of rows, their ids, and the rows. All are
    ``all_to_all_single``, which sends a row only to the workers that request it. All workers must
    make the same exchanges in the same order, even if they request or hold nothing.

    Args:
        rows: ids that this worker requests, distinct and ascending, int64 ``[n]``.
        num_rows: rows of the whole table, V, stored in :class:`RowOrder`.
        group: the workers; each holds its :func:`block_of` the table.

    Attributes:
        wanted: int64 ``[m]``, rows that the workers request from this one, worker by worker, as
            places counted from its first.

    Raises:
        ValueError: an id is not in the table; the other workers then wait until they time out.
    """

    def __init__(self, rows: Tensor, num_rows: int, group: dist.ProcessGroup) -> None:
        if len(rows) and not 0 <= int(rows[0]) <= int(rows[-1]) < num_rows:
            raise ValueError(
                f"ids {int(rows[0])} to {int(rows[-1])} are outside a table of {num_rows} rows, or "
                "not in ascending order"
            )
        self._group = group
        workers, rank = group.size(), group.rank()
        stops = [block_of(num_rows, workers, worker)[1] for worker in range(workers)]
        places, self._sorted = RowOrder(num_rows).places(rows).sort()
        # The places are sorted, so each owner's are contiguous.
        ends = torch.searchsorted(places, torch.tensor(stops, device=rows.device))
        counts = ends.diff(prepend=ends.new_zeros(1))
        of_me = torch.empty_like(counts)
        dist.all_to_all_single(of_me, counts, group=group)
        self._asked: list[int] = counts.tolist()
        self._owed: list[int] = of_me.tolist()
        first, _ = block_of(num_rows, workers, rank)
        self.wanted = self._send(places, self._owed, self._asked) - first

    def __len__(self) -> int:
        """Number of workers in the exchange."""
        return len(self._asked)

    def fetch(self, owed: Tensor) -> Tensor:
        """Send the `wanted` rows ``[m, D]``; returns the rows ``[n, D]`` this worker requested."""
        by_place = self._send(owed, self._asked, self._owed)
        return torch.empty_like(by_place).index_copy_(0, self._sorted, by_place)

    def give_back(self, rows: Tensor) -> Tensor:
        """The reverse: send values for the requested rows ``[n, D]`` back to their owners."""
        return self._send(rows.index_select(0, self._sorted), self._owed, self._asked)

    def _send(self, tensor: Tensor, receive: list[int], send: list[int]) -> Tensor:
        received = tensor.new_empty(sum(receive), *tensor.shape[1:])
        dist.all_to_all_single(received, tensor.contiguous(), receive, send, group=self._group)
        return received

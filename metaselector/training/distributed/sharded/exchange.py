"""Rows of a table that other workers hold, there and back."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from metaselector.training.distributed.sharded.order import RowOrder, block_of


class RowExchange:
    """Who wants which rows of a table, told to their owners.

    Three collectives: numbers of rows, their ids, and then the rows. All of them are
    ``all_to_all_single``, which sends a row to who wants it alone; all workers must make the same
    exchanges in the same order, also those that want nothing or hold nothing.

    Args:
        rows: distinct ids in ascending order, int64 ``[n]``, of this worker.
        num_rows: V, of the whole table, whose rows lie as :class:`RowOrder` says.
        group: the workers, each with its :func:`block_of` the places.

    Attributes:
        wanted: int64 ``[m]``, the rows that all workers want of this one, as places counted from
            its first; those of one worker after the other.

    Raises:
        ValueError: an id is not in the table; the other workers then wait until their time-out.
    """

    def __init__(self, rows: Tensor, num_rows: int, group: dist.ProcessGroup) -> None:
        if len(rows) and not 0 <= int(rows[0]) <= int(rows[-1]) < num_rows:
            raise ValueError(
                f"ids {int(rows[0])} to {int(rows[-1])} of a table that has {num_rows} rows; "
                "ids are in ascending order, from 0"
            )
        self._group = group
        workers, rank = group.size(), group.rank()
        stops = [block_of(num_rows, workers, worker)[1] for worker in range(workers)]
        places, self._sorted = RowOrder(num_rows).places(rows).sort()
        # The places are in order, so each owner's are a piece of them.
        ends = torch.searchsorted(places, torch.tensor(stops, device=rows.device))
        counts = ends.diff(prepend=ends.new_zeros(1))
        of_me = torch.empty_like(counts)
        dist.all_to_all_single(of_me, counts, group=group)
        self._asked: list[int] = counts.tolist()
        self._owed: list[int] = of_me.tolist()
        first, _ = block_of(num_rows, workers, rank)
        self.wanted = self._send(places, self._owed, self._asked) - first

    def __len__(self) -> int:
        """How many workers take part."""
        return len(self._asked)

    def fetch(self, owed: Tensor) -> Tensor:
        """The rows ``[n, D]`` that this worker wants, for the `wanted` ones of it, ``[m, D]``."""
        by_place = self._send(owed, self._asked, self._owed)
        return torch.empty_like(by_place).index_copy_(0, self._sorted, by_place)

    def give_back(self, rows: Tensor) -> Tensor:
        """The other way: what belongs to the rows that this worker got, to their owners."""
        return self._send(rows.index_select(0, self._sorted), self._owed, self._asked)

    def _send(self, tensor: Tensor, receive: list[int], send: list[int]) -> Tensor:
        received = tensor.new_empty(sum(receive), *tensor.shape[1:])
        dist.all_to_all_single(received, tensor.contiguous(), receive, send, group=self._group)
        return received

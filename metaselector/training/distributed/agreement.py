"""Agreement between workers without a wait in every step."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from metaselector.training.distributed import workers


class Agreement:
    """Maximum of numbers over all workers; each sends its own and reads the result later.

    A wait costs more than its own time, because the processor sleeps and wakes slowly, with cold
    caches. All workers must call :meth:`say` and :meth:`hear` in the same order.

    Args:
        size: how many numbers.
    """

    def __init__(self, size: int) -> None:
        self._heard = (0,) * size
        self._said: tuple[Tensor, Any] | None = None

    def say(self, *values: int) -> None:
        """Send this worker's numbers without waiting."""
        self._listen()
        if not dist.is_initialized():
            self._heard = values
            return
        said = torch.tensor(values, device=workers.device())
        self._said = said, dist.all_reduce(said, dist.ReduceOp.MAX, async_op=True)

    def hear(self) -> tuple[int, ...]:
        """Maximum that any worker has sent since the last call; 0 if nothing was sent."""
        self._listen()
        heard, self._heard = self._heard, (0,) * len(self._heard)
        return heard

    def _listen(self) -> None:
        if self._said is not None:
            said, work = self._said
            work.wait()
            self._heard = tuple(map(max, self._heard, said.tolist()))
            self._said = None

"""Data-parallel training steps with DistributedDataParallel (DDP).

Every worker gets a share of the batch. Its loss is the sum over its rows, divided by the number of
rows of the whole batch and multiplied by the number of workers, so that DDP's mean of the gradients
is the gradient of the mean loss over the whole batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from metaselector.training.distributed import workers
from metaselector.training.distributed.communication import Communication

ONE_BUCKET_MB = 1 << 14
"""One bucket: PowerSGD hangs on gloo with several, and for models of this size one is as fast."""

_SIGNATURE = inspect.signature(DistributedDataParallel.__init__).parameters
_NO_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _SIGNATURE else "broadcast_buffers": False
}
"""Buffers are equal on all workers; the argument has another name in newer torch versions."""


class _Forward(nn.Module):
    """The module that DDP wraps: modules, and a function that uses them.

    DDP asks the module that owns a parameter whether its gradient is sparse, and only knows
    embeddings. So row-sparse parameters are presented as weights of embeddings.
    """

    def __init__(
        self,
        parts: Sequence[nn.Module],
        row_sparse: Sequence[nn.Parameter],
        call: Callable[..., Any],
    ) -> None:
        super().__init__()
        self.tables = nn.ModuleList(_as_embedding(table) for table in row_sparse)
        self.parts = nn.ModuleList(parts)
        self._call = call

    def forward(self, *arguments: Any) -> Tensor:
        loss: Tensor = self._call(*arguments)
        return loss


def _as_embedding(table: nn.Parameter) -> nn.Embedding:
    embedding = nn.Embedding(1, 1, sparse=True, device="meta")
    embedding.weight = table
    return embedding


class DataParallel:
    """Forward and backward passes whose gradients are averaged over workers.

    Args:
        parts: modules whose parameters are trained.
        row_sparse: their parameters with row-sparse gradients.
        call: computes a scalar loss.
        communication: exchanges the gradients.
    """

    def __init__(
        self,
        parts: Sequence[nn.Module],
        row_sparse: Sequence[nn.Parameter],
        call: Callable[..., Tensor],
        communication: Communication,
    ) -> None:
        self.communication = communication
        self._module = _Forward(parts, row_sparse, call)
        self._replica: DistributedDataParallel | None = None

    def backward(self, passes: Sequence[tuple[Any, ...]]) -> float:
        """Add up the gradients of ``call(*arguments)`` over `passes`, then average over workers.

        Returns:
            The sum of the losses, averaged over workers; in local steps, this worker's own.
        """
        replica = self._replica or self._wrapped(passes[0])
        communication, total = self.communication, 0.0
        for i, arguments in enumerate(passes):
            last = i == len(passes) - 1 and communication.averages_gradients
            with nullcontext() if last else replica.no_sync():
                loss = replica(*arguments)
                total += float(loss.detach())
                communication.loss = total  # sent with the gradients
                loss.backward()
        if communication.in_step and not communication.averages_gradients:
            communication.loss = workers.mean(communication.loss)  # otherwise some would stop alone
        return communication.loss

    def _wrapped(self, arguments: tuple[Any, ...]) -> DistributedDataParallel:
        trained = [p for p in self._module.parameters() if p.requires_grad]
        self._module(*arguments).backward()  # finds the parameters that the loss depends on
        (unused,) = workers.most(any(p.grad is None for p in trained))
        self._module.zero_grad(set_to_none=True)
        device = trained[0].device
        self._replica = DistributedDataParallel(
            self._module,
            device_ids=None if device.type == "cpu" else [device],
            **_NO_BUFFERS,
            find_unused_parameters=bool(unused),
            bucket_cap_mb=ONE_BUCKET_MB,
        )
        self.communication.register(self._replica)
        return self._replica

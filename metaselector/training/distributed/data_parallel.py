"""One step of training by several workers, through DistributedDataParallel.

A batch is shared out; each worker's loss is the sum over its part, divided by what all parts have
and multiplied by the number of workers, so that DDP's mean of the gradients is the gradient of the
mean over the whole batch.
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
"""PowerSGD hangs on gloo with several buckets, and one is not slower for models of this size."""

_SIGNATURE = inspect.signature(DistributedDataParallel.__init__).parameters
_NO_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _SIGNATURE else "broadcast_buffers": False
}
"""Buffers are the same on all workers; newer versions of torch call the argument otherwise."""


class _Forward(nn.Module):
    """What DDP wraps: modules, and a function that uses them.

    DDP asks the module that owns a parameter whether its gradient is sparse, and knows embeddings
    only. So row-sparse parameters are shown to it as those of embeddings first.
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
    shown = nn.Embedding(1, 1, sparse=True, device="meta")
    shown.weight = table
    return shown


class DataParallel:
    """Forward and backward passes whose gradients are the same on all workers.

    Args:
        parts: modules whose parameters are trained.
        row_sparse: those of their parameters with row-sparse gradients.
        call: makes a scalar loss; its gradients are what is averaged.
        communication: how gradients travel.
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
            the sum of the losses, averaged over workers; of this one, where all go their own ways.
        """
        replica = self._replica or self._wrapped(passes[0])
        communication, total = self.communication, 0.0
        for i, arguments in enumerate(passes):
            last = i == len(passes) - 1 and communication.averages_gradients
            with nullcontext() if last else replica.no_sync():
                loss = replica(*arguments)
                total += float(loss.detach())
                communication.loss = total  # travels with the gradients
                loss.backward()
        if communication.in_step and not communication.averages_gradients:
            communication.loss = workers.mean(communication.loss)  # or some would stop alone
        return communication.loss

    def _wrapped(self, arguments: tuple[Any, ...]) -> DistributedDataParallel:
        trained = [p for p in self._module.parameters() if p.requires_grad]
        self._module(*arguments).backward()  # which parameters the loss depends on
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

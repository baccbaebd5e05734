"""Average and clip the gradients of a model with sharded tables."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from metaselector.training.distributed.sharded.rows import block_of_zeros, rows_here


def average_gradients(parameters: Iterable[Tensor], mesh: DeviceMesh) -> None:
    """Average the gradients of replicated parameters over workers, in one all-reduce per dtype.

    Sharded tables are skipped, because their owners already have the mean. A missing gradient
    counts as 0; if no worker has one, none is set. DistributedDataParallel does the same during the
    backward pass, but cannot hold sharded parameters.

    Raises:
        ValueError: a gradient is sparse.
    """
    learned = [p for p in parameters if p.requires_grad and not isinstance(p, DTensor)]
    for dtype in sorted({p.dtype for p in learned}, key=str):
        _average([p for p in learned if p.dtype == dtype], mesh)


def _average(parameters: list[Tensor], mesh: DeviceMesh) -> None:
    for p in parameters:
        if p.grad is not None and p.grad.is_sparse:
            raise ValueError(
                f"a table of shape {list(p.shape)} has a row-sparse gradient but is not sharded; "
                "add it to the model's tables and call shard_tables"
            )
    present = parameters[0].new_tensor([p.grad is not None for p in parameters])
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([present, *(grad.flatten() for grad in grads)])
    dist.all_reduce(flat, group=mesh.get_group())
    present, *means = flat.split([len(parameters), *(p.numel() for p in parameters)])
    for p, count, mean in zip(parameters, present.tolist(), means, strict=True):
        p.grad = mean.view_as(p).div_(mesh.size()) if count else None


class Averaging:
    """Averages the loss and the gradients of a step over workers, in one all-reduce per dtype.

    Args:
        parameters: all that are trained; those of sharded tables are with their owners already.
        tables: the sharded ones among them, at least one.
    """

    def __init__(self, parameters: Iterable[Tensor], tables: Iterable[Tensor]) -> None:
        self._parameters, self._tables = list(parameters), list(tables)
        (self._mesh,) = {table.device_mesh for table in self._tables}  # type: ignore[attr-defined]
        self._dense: dict[int, DTensor] = {}
        self._set: dict[int, Tensor] = {}
        self._loss = torch.zeros(1, device=self._mesh.device_type, requires_grad=True)

    def average(self, loss: float) -> float:
        """Average all gradients in place; returns the mean of the workers' losses."""
        self._loss.grad = torch.full_like(self._loss, loss)  # travels as one more gradient
        average_gradients([*self._parameters, self._loss], self._mesh)
        return self._loss.grad.item()

    def clip(self, most: float) -> float:
        """See :func:`clip_sharded_gradients`."""
        return clip_sharded_gradients(self._parameters, most, self._mesh)

    def densify(self) -> None:
        """Give tables dense gradients of all rows here, for optimizers that move all of them."""
        for i, table in enumerate(self._tables):
            if i not in self._dense:  # kept, and reset only where it was set
                self._dense[i] = block_of_zeros(table.shape, table.dtype, self._mesh)
            dense, first = rows_here(self._dense[i])
            if i in self._set:
                dense.index_fill_(0, self._set.pop(i), 0)
            if table.grad is not None:
                grad = table.grad.coalesce()
                self._set[i] = grad.indices()[0] - first
                dense.index_copy_(0, self._set[i], grad.values())
            table.grad = None  # of another layout
            table.grad = self._dense[i]


def clip_sharded_gradients(parameters: Iterable[Tensor], most: float, mesh: DeviceMesh) -> float:
    """Clip gradients by their joint norm, including the rows of sharded tables on all workers.

    Otherwise like :func:`~metaselector.training.loop.clipping.clip_gradients`.

    Args:
        parameters: replicated parameters, with equal gradients on all workers, and sharded tables.

    Returns:
        The norm before clipping, equal on all workers.
    """
    shared: list[Tensor] = []
    rows: list[Tensor] = []
    for p in parameters:
        if isinstance(p, DTensor):
            if p.grad is not None:
                p.grad = p.grad.coalesce()
                rows.append(p.grad.values())
        elif p.grad is not None:
            shared.append(p.grad)
    device = mesh.device_type
    of_rows, of_shared = (_squares(values, device) for values in (rows, shared))
    dist.all_reduce(of_rows, group=mesh.get_group())
    norm = (of_rows + of_shared).sqrt().item()
    if norm > most:
        for value in (*shared, *rows):
            value.mul_(most / norm)
    return norm


def _squares(values: list[Tensor], device: str) -> Tensor:
    total = torch.zeros((), dtype=torch.float64, device=device)
    for value in values:
        total += value.double().square().sum()
    return total

"""Sharded embedding tables: each worker holds a block of the rows of every table.

A block is a ``DTensor`` with ``Shard(0)``. A worker requests from the others the rows that its
users touch; everything else (the inner loop, its second derivatives, the outer update) only sees
rows. Importing this module registers the storage with :mod:`metaselector.models.kernels.rows`;
:func:`shard_tables` is the only function to call. Rows are stored in :class:`RowOrder`, so
``full_tensor()`` is not in order of ids; :func:`whole_table` is.

Gradients are *means* over workers, as in DistributedDataParallel: multiply each worker's mean loss
by ``workers * its rows / all rows`` to obtain the gradient of the mean loss over all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard
from torch.overrides import TorchFunctionMode

from metaselector.common.errors import ConfigError
from metaselector.models.kernels.rows import register_storage
from metaselector.training.distributed.sharded.exchange import RowExchange
from metaselector.training.distributed.sharded.order import RowOrder, block_of

Fill = Callable[[str, Tensor, Tensor], Any]
"""``fill(name, rows, ids)`` sets rows ``[n, ...]`` of a table in place; ids are int64 ``[n]``."""
FILLED = 1 << 20
"""Rows filled at a time."""


_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}


class TablesOnMeta(TorchFunctionMode):
    """Context in which new tensors with `num_rows` rows are placed on device meta, without values.

    A model built in it has its tables on meta and everything else where it normally is. So
    :func:`shard_tables` can handle tables larger than memory.
    """

    def __init__(self, num_rows: int) -> None:
        super().__init__()
        self._num_rows = num_rows

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _MAKERS:
            table = func(*args, **{**kwargs, "device": "meta"})
            if table.shape[:1] == (self._num_rows,):
                return table
        return func(*args, **kwargs)


def shard_tables(model: nn.Module, mesh: DeviceMesh, fill: Fill | None = None) -> list[str]:
    """Keep this worker's block of each of ``model.tables``, in place.

    Call it on every worker before you create inner rates and optimizers from the parameters. Rates
    of a table's shape and optimizer moments are then sharded like the table.

    Args:
        model: has tables of the same shapes on all workers; only a worker's own rows matter. Build
            it in :class:`TablesOnMeta` if tables are too large for one worker.
        mesh: device mesh with one dimension.
        fill: sets the rows of tables on ``meta``.

    Returns:
        Names of the tables; those that are sharded already are left as they are.

    Raises:
        ConfigError: the mesh has several dimensions, or a table on ``meta`` has no `fill`.
    """
    if mesh.ndim != 1:
        raise ConfigError(f"the mesh has {mesh.ndim} dimensions; shard tables over one")
    tables: frozenset[str] = frozenset(model.tables)  # type: ignore[arg-type]
    done: dict[int, nn.Parameter] = {}  # a table with two names stays shared
    for name in sorted(tables):
        table = model.get_parameter(name)
        if id(table) not in done:
            is_sharded = isinstance(table, DTensor)
            done[id(table)] = table if is_sharded else _shard(name, table, mesh, fill)
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, done[id(table)])
    return sorted(tables)


def _shard(name: str, table: nn.Parameter, mesh: DeviceMesh, fill: Fill | None) -> nn.Parameter:
    first, stop = block_of(len(table), mesh.size(), mesh.get_local_rank())
    if table.is_meta:
        if fill is None:
            raise ConfigError(
                f"table '{name}' has no values (device meta); pass shard_tables(fill=...), or "
                "build the model on another device"
            )
        rows = torch.empty(
            stop - first, *table.shape[1:], dtype=table.dtype, device=mesh.device_type
        )
    else:
        rows = table.new_empty(stop - first, *table.shape[1:])  # the whole table can then be freed
        values = table.detach()

        def fill(name: str, rows: Tensor, ids: Tensor) -> None:
            torch.index_select(values, 0, ids.to(values.device), out=rows)

    order = RowOrder(len(table))
    for start in range(0, stop - first, FILLED):
        part = rows[start : start + FILLED]
        fill(name, part, order.ids(first + start, first + start + len(part)))
    return nn.Parameter(sharded(rows, table.shape, mesh), requires_grad=table.requires_grad)


def sharded(rows: Tensor, shape: torch.Size, mesh: DeviceMesh) -> DTensor:
    """The table ``[V, ...]`` of which this worker holds `rows`, its block in :class:`RowOrder`."""
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(rows, mesh, [Shard(0)], run_check=False, shape=shape, stride=stride)


def block_of_zeros(shape: torch.Size, dtype: torch.dtype, mesh: DeviceMesh) -> DTensor:
    """A sharded table of zeros."""
    first, stop = block_of(shape[0], mesh.size(), mesh.get_local_rank())
    rows = torch.zeros(stop - first, *shape[1:], dtype=dtype, device=mesh.device_type)
    return sharded(rows, shape, mesh)


def rows_here(table: DTensor) -> tuple[Tensor, int]:
    """This worker's rows of a sharded table, not copied, and the place of the first."""
    mesh = table.device_mesh
    first, _ = block_of(len(table), mesh.size(), mesh.get_local_rank())
    with torch.no_grad():
        return table.to_local(), first


def whole_table(table: DTensor) -> Tensor:
    """All rows ``[V, ...]`` in order of ids, on every worker; all workers must call it."""
    order = RowOrder(len(table))
    with torch.no_grad():
        rows = table.full_tensor()
    return rows[order.places(torch.arange(len(table), device=rows.device))]


def mean_low_high(tensor: DTensor) -> tuple[float, float, float]:
    """Mean, minimum and maximum of a sharded table; all workers must call it."""
    rows, group = rows_here(tensor)[0], tensor.device_mesh.get_group()
    total = rows.sum(dtype=torch.float64)
    ends = (
        torch.stack([-rows.min(), rows.max()]) if rows.numel() else rows.new_full([2], -torch.inf)
    )
    dist.all_reduce(total, group=group)
    dist.all_reduce(ends, dist.ReduceOp.MAX, group=group)
    return total.item() / tensor.numel(), -ends[0].item(), ends[1].item()


class _Sharded:
    """The :class:`~metaselector.models.kernels.rows.Storage` of sharded tables."""

    def take(self, tables: Mapping[str, Any], rows: Tensor) -> dict[str, Tensor]:
        """One exchange for all tables with the same number of rows, dtype and mesh."""
        alike: dict[Any, dict[str, DTensor]] = {}
        for name, table in sorted(tables.items()):  # same order on all workers
            key = (len(table), table.dtype, table.device_mesh)
            alike.setdefault(key, {})[name] = table
        taken: dict[str, Tensor] = {}
        for some in alike.values():
            taken |= zip(some, _Take.apply(rows, *some.values()), strict=True)
        return {name: taken[name] for name in tables}

    def here(self, table: Any) -> tuple[Tensor, int]:
        return rows_here(table)


class _Take(torch.autograd.Function):
    """Take rows of several tables with one message."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, *tables: DTensor) -> tuple[Tensor, ...]:
        exchange = RowExchange(rows, len(tables[0]), tables[0].device_mesh.get_group())
        here = [rows_here(table)[0] for table in tables]
        ctx.exchange, ctx.shapes = exchange, [table.shape for table in tables]
        ctx.first = rows_here(tables[0])[1]
        packed = [part.index_select(0, exchange.wanted) for part in here]
        fetched = exchange.fetch(_pack(packed))
        return tuple(_unpack(fetched, ctx.shapes))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[1:]
        exchange: RowExchange = ctx.exchange
        shapes = [shape for shape, need in zip(ctx.shapes, needed, strict=True) if need]
        packed = _pack([grad for grad, need in zip(grads, needed, strict=True) if need])
        given = exchange.give_back(packed / len(exchange))  # [m, sum of D]
        rows, place = torch.unique(exchange.wanted, return_inverse=True)
        summed = given.new_zeros(len(rows), given.shape[1]).index_add_(0, place, given)
        indices = (rows + ctx.first).unsqueeze(0)  # [1, k]
        gradients = iter(
            torch.sparse_coo_tensor(
                indices, values, shape, is_coalesced=True, check_invariants=False
            )
            for values, shape in zip(_unpack(summed, shapes), shapes, strict=True)
        )
        return None, *(next(gradients) if need else None for need in needed)


def _pack(parts: list[Tensor]) -> Tensor:
    """Concatenate tensors ``[n, ...]`` with D values per row to ``[n, sum of D]``."""
    return torch.cat([part.flatten(1) if part.ndim > 1 else part.unsqueeze(1) for part in parts], 1)


def _unpack(packed: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
    """Inverse of :func:`_pack`, for tables of `shapes` ``[V, ...]``."""
    columns = packed.split([shape[1:].numel() for shape in shapes], dim=1)
    return [
        part.reshape(len(packed), *shape[1:]).contiguous()
        for part, shape in zip(columns, shapes, strict=True)
    ]


register_storage(DTensor, _Sharded())

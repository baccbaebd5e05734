"""Gather rows of embedding tables, whether they are in this process or sharded over several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor


def take_rows(table: Tensor, rows: Tensor) -> Tensor:
    """``table[rows]`` for distinct ascending rows, with a sparse gradient of these rows only.

    Example:
        >>> table = torch.zeros(5, 2, requires_grad=True)
        >>> take_rows(table, torch.tensor([1, 3])).sum().backward()
        >>> table.grad.coalesce().indices()
        tensor([[1, 3]])
    """
    return _TakeRows.apply(table, rows)


def index_rows(table: Tensor, rows: Tensor) -> Tensor:
    """``table[rows]`` with a dense gradient, of the whole table."""
    return table.index_select(0, rows)


class _TakeRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor) -> Tensor:
        ctx.rows, ctx.shape = rows, table.shape
        return table.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        rows = ctx.rows.unsqueeze(0)
        return torch.sparse_coo_tensor(
            rows, grad, ctx.shape, is_coalesced=True, check_invariants=False
        ), None


class Storage(Protocol):
    """Access to the rows of tables of one type."""

    def take(self, tables: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        """``table[rows]`` of every table, for distinct ascending ids `rows`, int64 ``[n]``.

        Differentiable once; gradients are sparse tensors of the table's shape.
        """

    def here(self, table: Tensor) -> tuple[Tensor, int]:
        """The rows that this process holds, to change in place, and the id of the first."""


class _Here:
    def take(self, tables: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        return {name: take_rows(table, rows) for name, table in tables.items()}

    def here(self, table: Tensor) -> tuple[Tensor, int]:
        return table, 0


_HERE = _Here()
_ELSEWHERE: dict[type[Tensor], Storage] = {}


def register_storage(table_type: type[Tensor], storage: Storage) -> None:
    """Use `storage` for tables whose type is exactly `table_type`."""
    _ELSEWHERE[table_type] = storage


def storage_of(table: Tensor) -> Storage:
    """The storage of `table`."""
    return _ELSEWHERE.get(type(table), _HERE)


def is_elsewhere(table: Tensor) -> bool:
    """Whether this process does not hold all rows of `table`."""
    return type(table) in _ELSEWHERE


def held(table: Tensor) -> Tensor:
    """The rows of `table` that this process holds, or all of an ordinary tensor."""
    return storage_of(table).here(table)[0]


def take_tables(tables: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """``table[rows]`` of every table; each storage takes all of its tables at once."""
    by_storage: dict[Storage, dict[str, Tensor]] = {}
    for name, table in tables.items():
        by_storage.setdefault(storage_of(table), {})[name] = table
    taken = [storage.take(some, rows) for storage, some in by_storage.items()]
    return {name: table for some in taken for name, table in some.items()}

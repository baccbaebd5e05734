"""Products of a constant sparse matrix and tables, differentiable any number of times.

The derivative of ``matrix @ table`` is a product with the transposed matrix, whose derivative is
the first product again. Both run as ``torch.embedding_bag``'s forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from metaselector.models.kernels.operations import is_recording

_SUM = 0  # torch.embedding_bag's number for the mode


class Sorted:
    """Positions sorted by id, computed on first use; shared by all matrices with these ids."""

    def __init__(self, ids: Tensor, width: int) -> None:
        self._ids = ids
        self._width = width
        self._made: tuple[Tensor, Tensor] | None = None

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Positions ``[n]``, and the start of each id among them, ``[width]``."""
        if self._made is None:
            sort = _recordable_sort() if is_recording() else _sort
            self._made = sort(self._ids, self._width)
        return self._made


def _sort(ids: Tensor, width: int) -> tuple[Tensor, Tensor]:
    if ids.device.type != "cpu":
        counts = torch.bincount(ids, minlength=width)
        return torch.sort(ids, stable=True).indices, counts.cumsum(0) - counts
    # SciPy's transposition is a counting sort, in a fifth of the time.
    row = scipy.sparse.csr_array(
        (np.arange(len(ids)), ids.numpy(), np.array([0, len(ids)])), shape=(1, width)
    )
    columns = row.tocsc()
    return torch.from_numpy(columns.data), torch.from_numpy(columns.indptr[:-1].astype(np.int64))


@cache
def _recordable_sort() -> Any:
    """:func:`_sort` as an operation of torch, which takes longer to call."""
    return torch.library.custom_op("metaselector::sort", _sort, mutates_args=())


class Matrix:
    """A constant sparse matrix ``[bags, width]`` and its transpose, each as (ids, weights, starts).

    Its rows may be those of several users, and its columns too: a product then reads tables
    ``[U, L, D]`` and gives ``[U, bags of a user, D]``.

    Args:
        ids: int64 ``[n]``, the columns.
        weights: ``[n]``; None for ones.
        starts: int64 ``[bags]``, where each bag begins in `ids`.
        order: of `ids`.
        shape: what the axis of rows looks like in a product, and what that of columns does.
    """

    def __init__(
        self,
        ids: Tensor,
        weights: Tensor | None,
        starts: Tensor,
        order: Sorted,
        shape: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> None:
        self._rows = ids, weights, starts
        self._order = order
        self._shape = shape
        self._columns: tuple[Tensor, Tensor | None, Tensor] | None = None

    def __matmul__(self, table: Tensor) -> Tensor:
        """The product with a table ``[*columns, D]``, which is ``[*rows, D]``."""
        product: Tensor = _Product.apply(self, False, table)
        return product

    def each(self, tables: Sequence[Tensor]) -> Sequence[Tensor]:
        """The products with several tables, faster than one by one."""
        products: tuple[Tensor, ...] = _Products.apply(self, False, *tables)
        return products

    def plain(self, table: Tensor, transposed: bool) -> Tensor:
        """The product, or that with the transposed matrix, without a derivative."""
        ids, weights, starts = self._transposed() if transposed else self._rows
        size = table.shape[-1]
        # Not F.embedding_bag, which would be intercepted again where backward runs in the context.
        flat = table.detach().reshape(-1, size).contiguous()
        product, *_ = torch.embedding_bag(flat, ids, starts, mode=_SUM, per_sample_weights=weights)
        return product.view(*self._shape[transposed], size)

    def reads_few(self, transposed: bool) -> bool:
        """Whether a table has many more rows than a product reads, so that a copy would cost."""
        columns = math.prod(self._shape[not transposed])
        return columns > 2 * len(self._rows[0])

    def _transposed(self) -> tuple[Tensor, Tensor | None, Tensor]:
        if self._columns is None:
            ids, weights, starts = self._rows
            order, first = self._order()
            sizes = torch.diff(starts, append=starts.new_tensor([len(ids)]))
            bags = torch.repeat_interleave(sizes, output_size=len(ids))
            self._columns = (
                bags.index_select(0, order),
                None if weights is None else weights.index_select(0, order),
                first,
            )
        return self._columns


class _Product(torch.autograd.Function):
    """``matrix @ table``. Tables keep their axes, so that no view of them enters the graph."""

    @staticmethod
    def forward(ctx: Any, matrix: Matrix, transposed: bool, table: Tensor) -> Tensor:
        ctx.matrix, ctx.transposed = matrix, transposed
        return matrix.plain(table, transposed)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _Product.apply(ctx.matrix, not ctx.transposed, grad)


class _Products(torch.autograd.Function):
    """``matrix @ table`` for several tables, side by side in one product."""

    @staticmethod
    def forward(ctx: Any, matrix: Matrix, transposed: bool, *tables: Tensor) -> tuple[Tensor, ...]:
        ctx.matrix, ctx.transposed = matrix, transposed
        if len({table.dtype for table in tables}) > 1 or matrix.reads_few(transposed):
            return tuple(matrix.plain(table, transposed) for table in tables)
        product = matrix.plain(torch.cat(tables, dim=-1), transposed)
        parts = product.split([table.shape[-1] for table in tables], dim=-1)
        return tuple(part.contiguous() for part in parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *_Products.apply(ctx.matrix, not ctx.transposed, *grads)

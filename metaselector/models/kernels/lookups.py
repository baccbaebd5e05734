"""Fast embedding lookups that ``vmap`` can batch and that are twice differentiable.

A lookup is a product with a constant sparse matrix: row n of the result is the weighted sum of the
table's rows in bag n. Its derivative is the product with the transposed matrix, whose derivative is
the first product again. Both run as ``torch.embedding_bag``'s forward pass, which is several times
faster than the scattering backward passes that torch has for ``embedding`` and ``embedding_bag``
(that of ``embedding_bag`` has no derivative, and no batching rule).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torch.nn import functional as F

from metaselector.common.errors import ConfigError
from metaselector.models.kernels.intercept import Handlers, behind_vmap, in_vmap, needs_grad

T = TypeVar("T")
_SUM = 0  # torch.embedding_bag's number for the mode


class _Sorted:
    """Positions sorted by id, computed on first use; shared by all matrices with these ids."""

    def __init__(self, ids: Tensor, width: int) -> None:
        self._ids = ids
        self._width = width
        self._made: tuple[Tensor, Tensor] | None = None

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Positions ``[n]``, and the start of each id among them, ``[width]``."""
        if self._made is None:
            self._made = _sort(self._ids, self._width)
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


class _Matrix:
    """A constant sparse matrix ``[bags, width]`` and its transpose, each as (ids, weights, starts).

    Args:
        ids: int64 ``[n]``, the columns.
        weights: ``[n]``; None for ones.
        starts: int64 ``[bags]``, where each bag begins in `ids`.
    """

    def __init__(
        self, ids: Tensor, weights: Tensor | None, starts: Tensor, sorted_: _Sorted
    ) -> None:
        self._rows = ids, weights, starts
        self._sorted = sorted_
        self._columns: tuple[Tensor, Tensor | None, Tensor] | None = None

    def __call__(self, *, transposed: bool) -> tuple[Tensor, Tensor | None, Tensor]:
        if not transposed:
            return self._rows
        if self._columns is None:
            ids, weights, starts = self._rows
            order, first = self._sorted()
            sizes = torch.diff(starts, append=starts.new_tensor([len(ids)]))
            bags = torch.repeat_interleave(sizes, output_size=len(ids))
            self._columns = (
                bags.index_select(0, order),
                None if weights is None else weights.index_select(0, order),
                first,
            )
        return self._columns


class _Product(torch.autograd.Function):
    """``matrix @ dense``."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: _Matrix, transposed: bool) -> Tensor:
        ctx.matrix, ctx.transposed = matrix, transposed
        ids, weights, starts = matrix(transposed=transposed)
        # Not F.embedding_bag, which would be intercepted again where backward runs in the context.
        product, *_ = torch.embedding_bag(
            dense.detach(), ids, starts, mode=_SUM, per_sample_weights=weights
        )
        return product

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(grad.contiguous(), ctx.matrix, not ctx.transposed), None, None


class Lookups:
    """Replacements for ``F.embedding`` and ``F.embedding_bag`` in passes over the same rows.

    Everything that depends on the ids alone is computed once and kept as long as this object;
    ids and weights must not change in place meanwhile.
    """

    def __init__(self) -> None:
        self._made: dict[Any, tuple[Any, Any]] = {}
        self._starts: list[Tensor] = []

    @property
    def handlers(self) -> Handlers:
        return {F.embedding: self.embedding, F.embedding_bag: self.embedding_bag}

    def embedding(
        self,
        input: Tensor,
        weight: Tensor,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Tensor:
        """As ``F.embedding``, except that `sparse` has no effect."""
        _refuse("Embedding", padding_idx, max_norm, scale_grad_by_freq)
        if padding_idx is not None:  # a row that gets no gradient
            weight = torch.cat([weight[:1].detach(), weight[1:]])
        rows = self._add_up(input.reshape(-1), weight, None, self._every(1, input))
        return rows.reshape(*input.shape, weight.shape[-1])

    def embedding_bag(
        self,
        input: Tensor,
        weight: Tensor,
        offsets: Tensor | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        per_sample_weights: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Tensor:
        """As ``F.embedding_bag``, except that `sparse` has no effect.

        Raises:
            ConfigError: the mode is "max", which is not a product, or "mean" with
                `per_sample_weights`, which torch lacks too, or offsets differ between users.
        """
        _refuse("EmbeddingBag", padding_idx, max_norm, scale_grad_by_freq)
        if mode == "max":
            raise ConfigError("EmbeddingBag(mode='max') cannot be adapted; use 'sum' or 'mean'")
        if mode == "mean" and per_sample_weights is not None:
            raise ConfigError("EmbeddingBag: per_sample_weights go with mode='sum' only")
        if offsets is None:
            starts = self._every(input.shape[-1], input)
        elif in_vmap(offsets):
            raise ConfigError("embedding_bag: offsets that differ between users cannot be adapted")
        else:
            starts = self._known(offsets[:-1] if include_last_offset else offsets)
        ids = input.reshape(-1)
        weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
        if padding_idx is not None:  # a row that does not count
            present = (ids != 0).to(weight.dtype)
            weights = present if weights is None else weights * present
        if weights is not None and needs_grad(weights):
            # The matrix is a constant, so weigh the rows first.
            weight = self.embedding(ids, weight) * weights.unsqueeze(-1)
            ids, weights = torch.arange(len(ids), device=ids.device), None
        total = self._add_up(ids, weight, weights, starts)
        if mode == "sum":
            return total
        counted = torch.ones_like(ids, dtype=weight.dtype) if weights is None else weights
        ones = weight.new_ones(weight.shape[0], 1)
        return total / self._add_up(ids, ones, counted, starts).clamp_min(1)

    def _add_up(self, ids: Tensor, table: Tensor, weights: Tensor | None, starts: Tensor) -> Tensor:
        """Weighted sums of rows, ``[bags, D]``.

        Args:
            ids: int64 ``[n]``.
            table: ``[V, D]``.
            weights: ``[n]``; None for ones.
            starts: int64 ``[bags]``, where each bag begins in `ids`.
        """

        def product(
            per_user: tuple[bool, ...], ids: Tensor, table: Tensor, weights: Tensor | None
        ) -> Tensor:
            width = table.shape[-2]
            if not any(per_user):
                return _Product.apply(table, self._matrix(ids, weights, starts, width), False)
            own_ids, own_table, own_weights = per_user
            users = len(ids if own_ids else table if own_table else weights)  # type: ignore[arg-type]
            if not own_ids:
                ids = ids.expand(users, -1)
            if weights is not None and not own_weights:
                weights = weights.expand(users, -1)
            dense = table.flatten(0, 1) if own_table else table
            matrix = self._users_matrix(ids, weights, starts, width, own_table)
            return _Product.apply(dense, matrix, False).view(users, -1, dense.shape[-1])

        return behind_vmap(product, ids, table, weights)

    def _users_matrix(
        self, ids: Tensor, weights: Tensor | None, starts: Tensor, width: int, own_table: bool
    ) -> _Matrix:
        """The matrix of all users, whose ids ``[U, n]`` index tables of their own or one."""
        users, n = ids.shape
        first = torch.arange(users, device=ids.device).unsqueeze(1)

        def flat_ids() -> Tensor:
            return (ids + first * width).flatten() if own_table else ids.flatten()

        def make() -> _Matrix:
            flat = self._once(("ids", _key(ids), width, own_table), ids, flat_ids)
            return self._matrix(
                flat,
                None if weights is None else weights.flatten(),
                (starts + first * n).flatten(),
                users * width if own_table else width,
            )

        key = ("users", _key(ids), _key(weights), _key(starts), width, own_table)
        return self._once(key, (ids, weights, starts), make)

    def _matrix(self, ids: Tensor, weights: Tensor | None, starts: Tensor, width: int) -> _Matrix:
        def make() -> _Matrix:
            order = self._once(("order", _key(ids), width), ids, lambda: _Sorted(ids, width))
            return _Matrix(ids, weights, starts, order)

        key = ("matrix", _key(ids), _key(weights), _key(starts), width)
        return self._once(key, (ids, weights, starts), make)

    def _every(self, size: int, ids: Tensor) -> Tensor:
        """Starts of bags of `size` ids each, for one user's `ids`."""
        n, device = ids.numel(), ids.device
        return self._once(("every", size, n, device), None, lambda: _steps(n, size, device))

    def _known(self, starts: Tensor) -> Tensor:
        """An earlier tensor that equals `starts`, if any: models create one for each table."""
        for earlier in self._starts:
            if earlier.shape == starts.shape and torch.equal(earlier, starts):
                return earlier
        self._starts.append(starts.clone())
        return self._starts[-1]

    def _once(self, key: Any, keep: Any, make: Callable[[], T]) -> T:
        """The result of the first call of `make` for this key.

        Args:
            keep: the tensors that the key describes; kept alive so that no others get their memory.
        """
        if key not in self._made:
            self._made[key] = make(), keep
        made: T = self._made[key][0]
        return made


def _steps(n: int, size: int, device: torch.device) -> Tensor:
    return torch.arange(0, n, size, device=device)


def _key(tensor: Tensor | None) -> Any:
    """A key that no other living tensor has."""
    if tensor is None:
        return None
    version = 0 if tensor.is_inference() else tensor._version
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), version


def _refuse(
    layer: str, padding_idx: int | None, max_norm: float | None, scale_grad_by_freq: bool
) -> None:
    if padding_idx not in (None, 0):
        raise ConfigError(
            f"{layer}(padding_idx={padding_idx}) cannot be adapted; the padding id is 0"
        )
    if max_norm is not None or scale_grad_by_freq:
        option = "scale_grad_by_freq" if max_norm is None else "max_norm"
        raise ConfigError(f"{layer}({option}=...) cannot be adapted; leave it out")

"""Fast embedding lookups that ``vmap`` can batch and that are twice differentiable.

A lookup is a product with a constant sparse matrix (see `products`): row n of the result is the
weighted sum of the table's rows in bag n. That is several times faster than the scattering backward
passes that torch has for ``embedding`` and ``embedding_bag`` (that of ``embedding_bag`` has no
derivative, and no batching rule).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from metaselector.common.errors import ConfigError
from metaselector.models.kernels.intercept import Handlers, behind_vmap, in_vmap, needs_grad
from metaselector.models.kernels.operations import is_recording
from metaselector.models.kernels.products import Matrix, Sorted

T = TypeVar("T")


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

    def gather(self, tables: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        """``table[rows]`` for each of the tables, which all have the same number of rows.

        Args:
            tables: by name, each ``[V, ...]``.
            rows: int64 ``[U, L]``.

        Returns:
            by name, each ``[U, L, ...]``.
        """
        if not tables:
            return {}
        width = len(next(iter(tables.values())))
        ids, starts = rows.reshape(-1), self._every(1, rows)
        matrix = Matrix(ids, None, starts, Sorted(ids, width), (tuple(rows.shape), (width,)))
        flat = [t if t.ndim == 2 else t.reshape(width, -1) for t in tables.values()]
        found = zip(tables.items(), matrix.each(flat), strict=True)
        return {
            name: of if table.ndim == 2 else of.reshape(*rows.shape, *table.shape[1:])
            for (name, table), of in found
        }

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
                return self._matrix(ids, weights, starts, width) @ table
            own_ids, own_table, own_weights = per_user
            users = len(ids if own_ids else table if own_table else weights)  # type: ignore[arg-type]
            if not own_ids:
                ids = ids.expand(users, -1)
            if weights is not None and not own_weights:
                weights = weights.expand(users, -1)
            return self._users_matrix(ids, weights, starts, width, own_table) @ table

        return behind_vmap(product, ids, table, weights)

    def _users_matrix(
        self, ids: Tensor, weights: Tensor | None, starts: Tensor, width: int, own_table: bool
    ) -> Matrix:
        """The matrix of all users, whose ids ``[U, n]`` index tables of their own or one."""
        users, n = ids.shape

        def first(size: int) -> Tensor:
            """Where each user begins, ``[U, 1]``."""
            return (torch.arange(users, device=ids.device) * size).unsqueeze(1)

        def flat_ids() -> Tensor:
            return (ids + first(width)).flatten() if own_table else ids.flatten()

        def make() -> Matrix:
            flat = self._once(("ids", _key(ids), width, own_table), ids, flat_ids)
            return Matrix(
                flat,
                None if weights is None else weights.flatten(),
                (starts + first(n)).flatten(),
                self._order(flat, users * width if own_table else width),
                ((users, len(starts)), (users, width) if own_table else (width,)),
            )

        key = ("users", _key(ids), _key(weights), _key(starts), width, own_table)
        return self._once(key, (ids, weights, starts), make)

    def _matrix(self, ids: Tensor, weights: Tensor | None, starts: Tensor, width: int) -> Matrix:
        def make() -> Matrix:
            shape = (len(starts),), (width,)
            return Matrix(ids, weights, starts, self._order(ids, width), shape)

        key = ("matrix", _key(ids), _key(weights), _key(starts), width)
        return self._once(key, (ids, weights, starts), make)

    def _order(self, ids: Tensor, width: int) -> Sorted:
        return self._once(("order", _key(ids), width), ids, lambda: Sorted(ids, width))

    def _every(self, size: int, ids: Tensor) -> Tensor:
        """Starts of bags of `size` ids each, for one user's `ids`."""
        n, device = ids.numel(), ids.device
        return self._once(("every", size, n, device), None, lambda: _steps(n, size, device))

    def _known(self, starts: Tensor) -> Tensor:
        """An earlier tensor that equals `starts`, if any: models create one for each table."""
        if is_recording():  # equal ones are found later
            return starts
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

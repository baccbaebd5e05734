"""Build models whose tables are sharded from the start, with the values of whole tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.overrides import TorchFunctionMode

from metaselector.common.errors import ConfigError
from metaselector.training.distributed.sharded.order import RowOrder
from metaselector.training.distributed.sharded.rows import (
    block_of_zeros,
    rows_here,
    shard_tables,
)

PIECE = 1 << 18
"""Numbers that are drawn at a time."""
_BLOCK = 16
"""torch draws normal numbers in blocks of this size. Drawn in several pieces, they are the same as
drawn at once if all pieces but the last are multiples of it, and the last is no smaller."""

_MAKERS = {
    torch.empty: None,
    torch.zeros: None,
    torch.ones: "fill_",
    torch.full: "fill_",
    torch.rand: "uniform_",
    torch.randn: "normal_",
}
"""What sets the values of new tensors, by the function that makes them."""
_DRAWN: dict[Any, str] = {
    torch.Tensor.normal_: "normal_",
    torch.Tensor.uniform_: "uniform_",
    nn.init.normal_: "normal_",
    nn.init.uniform_: "uniform_",
}
_BY_ELEMENT = ("add", "sub", "mul", "div", "neg", "clamp", "fill", "zero")
_READ = ("__get__", "__len__", "dim", "size", "numel", "detach", "requires_grad_")


class TablesInPieces(TorchFunctionMode):
    """Context in which a new tensor with a row for each id keeps this worker's rows alone.

    They have the values that they have in a whole table: every worker draws all random numbers,
    some at a time, and keeps its own. So the default generator ends where it would otherwise, too.

    Args:
        num_rows: V, the rows that make a tensor a table.
        mesh: device mesh with one dimension.
        name: what messages call the model.
        draw: whether to draw them; if not, values that are loaded later are 0.

    Raises:
        ConfigError: a table is initialised by a function that is neither random nor one of
            elements, and so needs all of it.
    """

    def __init__(
        self, num_rows: int, mesh: DeviceMesh, name: str = "the model", draw: bool = True
    ) -> None:
        super().__init__()
        self._num_rows, self._mesh, self._name, self._drawn = num_rows, mesh, name, draw
        self._order = RowOrder(num_rows)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _MAKERS:
            like = func(*args, **{**kwargs, "device": "meta"})
            if like.shape[:1] == (self._num_rows,):
                return self._made(func, like, args, kwargs)
            return func(*args, **kwargs)
        tables = [t for t in (*args, *kwargs.values()) if isinstance(t, DTensor)]
        if not tables:
            return func(*args, **kwargs)
        if func in _DRAWN:
            given = [value for value in args if value is not tables[0]]
            named = {name: value for name, value in kwargs.items() if value is not tables[0]}
            return self._draw(tables[0], _DRAWN[func], *given, **_numbers(named))
        name = getattr(func, "__name__", str(func))
        if name in _READ or name.strip("_").removeprefix("true") in _BY_ELEMENT:
            return func(*args, **kwargs)
        raise ConfigError(
            f"{self._name}: a table is initialised with '{name}', which --shard-tables cannot do "
            "in pieces; use functions of single elements, such as normal_, uniform_, zero_ and mul_"
        )

    def _made(self, func: Any, like: Tensor, args: Any, kwargs: dict[str, Any]) -> Tensor:
        table = block_of_zeros(like.shape, like.dtype, self._mesh)
        how = _MAKERS[func]
        if how == "fill_":
            value = kwargs.get("fill_value", args[-1]) if func is torch.full else 1
            rows_here(table)[0].fill_(value)
        elif how is not None:
            self._draw(table, how)
        return table.requires_grad_(like.requires_grad)

    @torch.no_grad()
    def _draw(self, table: DTensor, how: str, *numbers: Any, **named: Any) -> DTensor:
        if len(table) != self._num_rows:
            raise ConfigError(f"{self._name}: {len(table)} rows of a table are set with '{how}'")
        held, first = rows_here(table)
        for start, stop in self._pieces(held.shape[1:].numel()) if self._drawn else ():
            piece = torch.empty(stop - start, *held.shape[1:], dtype=held.dtype)
            getattr(piece, how)(*numbers, **named)
            places = self._order.places(torch.arange(start, stop)) - first
            mine = ((places >= 0) & (places < len(held))).nonzero().squeeze(1)
            held.index_copy_(0, places[mine], piece[mine].to(held.device))
        return table

    def _pieces(self, width: int) -> Iterator[tuple[int, int]]:
        """First row and stop of each piece, of rows with `width` numbers."""
        rows = _BLOCK * max(1, PIECE // (_BLOCK * max(1, width)))
        start = 0
        while start < self._num_rows:
            stop = start + rows
            if (self._num_rows - stop) * width < _BLOCK:
                stop = self._num_rows
            yield start, stop
            start = stop


def _numbers(named: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a distribution, called as those of a tensor's method."""
    if named.get("generator") is not None:
        raise ConfigError(
            "a table is initialised from a generator of its own; with sharded tables, use torch's "
            "default generator"
        )
    names = {"a": "from", "b": "to"}
    return {names.get(name, name): value for name, value in named.items() if name != "generator"}


def keep_blocks(model: nn.Module, num_rows: int, mesh: DeviceMesh, name: str) -> None:
    """See to it that tables, and nothing else, are sharded.

    Args:
        model: built in :class:`TablesInPieces`; tables made in other ways are cut here.
        name: what messages call the model.

    Raises:
        ConfigError: something with a row for each id is not among ``model.tables``.
    """
    tables = frozenset(getattr(model, "tables", ()))
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]
    for key, tensor in named:
        if tensor.shape[:1] == (num_rows,) and key not in tables:
            raise ConfigError(
                f"{name}: '{key}' has {num_rows} rows, as many as there are ids, but is not one of "
                "its tables; sharded tables need it among them"
            )
    if tables:
        shard_tables(model, mesh)

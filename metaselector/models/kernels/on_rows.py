"""Run a model whose tables are elsewhere on the rows that a batch touches."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call

from metaselector.data.encoded.batch import Batch
from metaselector.models.kernels.rows import is_elsewhere, take_tables

MARKED = 4
"""Distinct ids are found by marking them if there are at most so many possible ids per given id."""


def distinct(ids: Tensor) -> tuple[Tensor, Tensor]:
    """``torch.unique(ids, return_inverse=True)`` for non-negative ids, without sorting."""
    flat = ids.reshape(-1)
    width = int(flat.max()) + 1
    if width <= MARKED * len(flat):
        seen = torch.zeros(width, dtype=torch.bool, device=ids.device).index_fill_(0, flat, True)
        positions = seen.cumsum(0).sub_(1).index_select(0, flat)
        return seen.nonzero().squeeze(1), positions.view(ids.shape)
    if ids.device.type != "cpu":
        return torch.unique(ids, return_inverse=True)
    places, found = pd.factorize(flat.numpy(), sort=True)  # a hash table
    return torch.from_numpy(found), torch.from_numpy(places).view(ids.shape)


def tables_elsewhere(model: nn.Module) -> dict[str, Tensor]:
    """The tables of `model` that this process does not hold whole, by name."""
    names = sorted(getattr(model, "tables", ()))
    tables = {name: model.get_parameter(name) for name in names}
    return {name: table for name, table in tables.items() if is_elsewhere(table)}


def outputs(model: nn.Module, batch: Batch, *more: Any, method: str = "forward") -> Any:
    """``model(batch, *more)``, on gathered rows if tables of the model are elsewhere.

    With sharded tables, all workers must make the same number of calls, of this or of
    :func:`join`, and of backward passes.

    Args:
        batch: ids and values ``[B, C]``.
        more: arguments after the batch.
        method: which method of the model to call.
    """
    tables = tables_elsewhere(model)
    called = model if method == "forward" else _Method(model, method)
    if not tables:
        return called(batch, *more)
    padding = batch.ids.new_zeros(1)  # so that id 0 stays 0
    rows, places = distinct(torch.cat([padding, batch.ids.flatten()]))
    local = Batch(places[1:].view(batch.ids.shape), batch.values)
    taken = take_tables(tables, rows)
    if isinstance(called, _Method):
        taken = {f"model.{name}": table for name, table in taken.items()}
    return functional_call(called, taken, (local, *more))


class _Method(nn.Module):
    """A method of a model, called as a model."""

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self._name = model, name

    def forward(self, *arguments: Any) -> Any:
        return getattr(self.model, self._name)(*arguments)


def outputs_of_padding(model: nn.Module, *arguments: Any) -> Any:
    """``model(*arguments)`` for rows of padding; row 0 of tables that are elsewhere counts as 0.

    Nothing is exchanged.
    """
    tables = {
        name: torch.zeros(1, *table.shape[1:], dtype=table.dtype)
        for name, table in tables_elsewhere(model).items()
    }
    return functional_call(model, tables, arguments) if tables else model(*arguments)


def join(model: nn.Module) -> None:
    """Take part in :func:`outputs` of other workers, and its backward pass, without a batch."""
    tables = tables_elsewhere(model)
    if not tables:
        return
    nothing = torch.zeros(0, dtype=torch.int64, device=next(iter(tables.values())).device)
    taken = [rows for rows in take_tables(tables, nothing).values() if rows.requires_grad]
    if taken:
        torch.autograd.backward(taken, [torch.zeros_like(rows) for rows in taken])

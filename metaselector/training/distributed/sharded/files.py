"""Checkpoints whose tables are sharded while they are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from metaselector.training.checkpoint import Checkpoint, Checksum, read_checkpoint, take_whole
from metaselector.training.distributed.sharded.checkpoint import PIECE, save_sharded_checkpoint
from metaselector.training.distributed.sharded.order import RowOrder
from metaselector.training.distributed.sharded.rows import block_of_zeros, rows_here
from metaselector.training.tensors import is_finite


@dataclass(frozen=True)
class ShardedFiles:
    """The :class:`~metaselector.training.checkpoint.CheckpointFiles` of sharded tables.

    The files are those of one process. Every tensor in them with a row for each id is a table; a
    worker reads all of it in pieces, checks it, and keeps its own rows. Reading needs no other
    worker.

    Attributes:
        mesh: the workers.
        num_rows: V.
    """

    mesh: DeviceMesh
    num_rows: int
    collective = True

    def save(
        self,
        path: Path,
        tensors: Mapping[str, Tensor],
        settings: Mapping[str, Any],
        record: Mapping[str, Any],
    ) -> None:
        save_sharded_checkpoint(path, tensors, settings, record, self.mesh)

    def read(self, path: Path) -> Checkpoint:
        return read_checkpoint(path, self._take)

    def read_record(self, path: Path) -> Checkpoint:
        return read_checkpoint(path, _check)

    def _take(self, file: Any, name: str, checksum: Checksum) -> Tensor:
        source = file.get_slice(name)
        shape = torch.Size(source.get_shape())
        if shape[:1] != (self.num_rows,):
            return take_whole(file, name, checksum)
        table = block_of_zeros(shape, _dtype(file, name), self.mesh)
        held, first = rows_here(table)
        order = RowOrder(self.num_rows)
        for start, rows in _pieces(file, name, checksum):
            if not is_finite(rows):  # noticed by all workers, not only by the owner of the row
                raise ValueError(f"'{name}' holds non-finite numbers")
            places = order.places(torch.arange(start, start + len(rows))) - first
            mine = ((places >= 0) & (places < len(held))).nonzero().squeeze(1)
            held.index_copy_(0, places[mine].to(held.device), rows[mine].to(held.device))
        return table


def _check(file: Any, name: str, checksum: Checksum) -> None:
    """Add a tensor to the checksum, and keep nothing of it."""
    if not file.get_slice(name).get_shape():
        take_whole(file, name, checksum)
        return
    for _ in _pieces(file, name, checksum):
        pass


def _pieces(file: Any, name: str, checksum: Checksum) -> Iterator[tuple[int, Tensor]]:
    """Yield rows of a tensor and the first one's id, :data:`PIECE` bytes at a time."""
    source = file.get_slice(name)
    shape = torch.Size(source.get_shape())
    dtype = _dtype(file, name)
    checksum.begin(name, torch.empty(shape, dtype=dtype, device="meta"))
    step = max(1, PIECE // max(1, shape[1:].numel() * dtype.itemsize))
    for start in range(0, shape[0], step):
        rows = source[start : start + step].contiguous()
        checksum.add(rows)
        yield start, rows


def _dtype(file: Any, name: str) -> torch.dtype:
    found: torch.dtype = file.get_slice(name)[:0].dtype
    return found

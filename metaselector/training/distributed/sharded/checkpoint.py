"""Checkpoints of models with sharded tables, in the same format that a single process writes.

:func:`~metaselector.training.checkpoint.read_checkpoint` reads them and verifies the checksum. Any
number of workers can load any checkpoint; each reads its own blocks of the tables.
torch.distributed.checkpoint also saves DTensors, but pickles their metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from metaselector.common.errors import CheckpointError, DamagedError, nearest
from metaselector.common.files import atomic_file
from metaselector.training.checkpoint import VERSION, Checksum, first_difference
from metaselector.training.distributed.sharded.order import RowOrder, block_of
from metaselector.training.distributed.sharded.rows import rows_here

PIECE = 1 << 24
"""Bytes of a table that are sent, or read, at a time."""
_TYPES = {
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_UNKNOWN = "0" * 64  # placeholder: the checksum is known last but stands first


def save_sharded_checkpoint(
    path: Path,
    tensors: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    record: Mapping[str, Any],
    mesh: DeviceMesh,
) -> None:
    """Like :func:`~metaselector.training.checkpoint.save_checkpoint`; every worker must call it.

    The first worker writes. It holds at most :data:`PIECE` bytes of the other workers' rows.

    Args:
        tensors: the same names on all workers; plain tensors are taken from the first worker.
    """
    metadata = {"settings": json.dumps(settings, sort_keys=True), "record": json.dumps(record)}
    if mesh.get_local_rank() == 0:
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            _write(file, tensors, metadata, mesh)
    else:
        for name in sorted(tensors):
            for _ in _pieces(tensors[name], mesh):
                pass  # sent
    dist.barrier(mesh.get_group())  # no worker may read the file before it is complete


def _write(
    file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], mesh: DeviceMesh
) -> None:
    head = _head(tensors, {**metadata, "version": str(VERSION), "sha256": _UNKNOWN})
    file.write(head)
    checksum = Checksum(metadata)
    for name in sorted(tensors):
        checksum.begin(name, tensors[name])
        for piece in _pieces(tensors[name], mesh):
            checksum.add(piece)
            file.write(piece.reshape(-1).view(torch.uint8).numpy().data)  # [bytes]
    file.seek(head.index(_UNKNOWN.encode()))
    file.write(str(checksum).encode())


def _head(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Header of a safetensors file: its length, and the place of each tensor as JSON."""
    # The checksum comes first, so that no text in the settings can be mistaken for it.
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items(), reverse=True))}
    end = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": _TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _pieces(tensor: Tensor, mesh: DeviceMesh) -> Iterator[Tensor]:
    """Yield rows of `tensor` by id on the CPU of the first worker; the others send theirs."""
    me = mesh.get_local_rank()
    if not isinstance(tensor, DTensor):
        if me == 0:
            yield tensor.detach().cpu().contiguous()
        return
    held, _ = rows_here(tensor)
    group = mesh.get_group()
    blocks = [block_of(len(tensor), mesh.size(), worker) for worker in range(mesh.size())]
    for places in _places(tensor):
        if me:
            dist.send(_at(held, places, *blocks[me]), dist.get_global_rank(group, 0), group)
            continue
        piece = held.new_empty(len(places), *held.shape[1:])
        for worker, (first, stop) in enumerate(blocks):
            mine = _within(places, first, stop).to(held.device)
            if worker:
                rows = held.new_empty(len(mine), *held.shape[1:])
                dist.recv(rows, dist.get_global_rank(group, worker), group)
            else:
                rows = _at(held, places, first, stop)
            piece.index_copy_(0, mine, rows)
        yield piece.cpu()


def _places(table: Tensor) -> Iterator[Tensor]:
    """Yield the places of all rows in order of ids, at most :data:`PIECE` bytes at a time."""
    order = RowOrder(len(table))
    step = max(1, PIECE // (table.shape[1:].numel() * table.element_size()))
    for first in range(0, len(table), step):
        yield order.places(torch.arange(first, min(first + step, len(table))))


def _within(places: Tensor, first: int, stop: int) -> Tensor:
    """Positions in `places` that belong to one worker's block."""
    return ((places >= first) & (places < stop)).nonzero().squeeze(1)


def _at(held: Tensor, places: Tensor, first: int, stop: int) -> Tensor:
    """Rows at those `places` that belong to a worker's block, taken from its rows `held`."""
    return held.index_select(0, (places[_within(places, first, stop)] - first).to(held.device))


@torch.no_grad()
def load_sharded_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Read `tensors` from a checkpoint, in place; of a sharded table, this worker's rows.

    Any number of workers may have written the checkpoint. Each worker reads all of it,
    :data:`PIECE` bytes at a time, because its rows are spread over the file. The checksum is not
    verified here; :func:`~metaselector.training.checkpoint.read_checkpoint` does that.

    Returns:
        The checkpoint's record.

    Raises:
        CheckpointError: the file is missing or damaged, lacks a tensor, has one of another shape,
            or was trained with different settings.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: checkpoint not found")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            saved, record = (json.loads(metadata[key]) for key in ("settings", "record"))
            if difference := first_difference(saved, json.loads(json.dumps(settings))):
                raise CheckpointError(f"{path}: was trained with different settings ({difference})")
            names = set(file.keys())
            for name, tensor in tensors.items():
                if name not in names:
                    raise CheckpointError(f"{path}: has no '{name}'; {nearest(name, names)}")
                _read(path, file, name, tensor)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DamagedError(path, f"damaged or not a MetaSelector checkpoint ({error})") from error
    return dict(record)


def _read(path: Path, file: Any, name: str, tensor: Tensor) -> None:
    source = file.get_slice(name)
    shape = source.get_shape()
    if shape != list(tensor.shape):
        raise CheckpointError(
            f"{path}: '{name}' has shape {shape}, but the model expects {list(tensor.shape)}; "
            "was it trained on other data?"
        )
    if not isinstance(tensor, DTensor):
        tensor.copy_(file.get_tensor(name))
        return
    held, first = rows_here(tensor)
    start = 0
    for places in _places(tensor):
        mine = _within(places, first, first + len(held))
        rows = source[start : start + len(places)][mine]
        held.index_copy_(0, (places[mine] - first).to(held.device), rows.to(held))
        start += len(places)

"""Checks of averaged gradients and of checkpoints, for the workers of sharded_checks.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sharded_world import (
    RULES,
    check,
    close,
    episode_loss,
    episodes,
    mixture,
    share_gradients,
)
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from metaselector.common.errors import CheckpointError
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.models.kernels.row_adam import RowAdam
from metaselector.training.checkpoint import load_checkpoint, save_checkpoint
from metaselector.training.distributed.sharded import checkpoint as sharded_checkpoint
from metaselector.training.distributed.sharded.checkpoint import (
    load_sharded_checkpoint,
    save_sharded_checkpoint,
)
from metaselector.training.distributed.sharded.gradients import (
    average_gradients,
)
from metaselector.training.distributed.sharded.rows import (
    rows_here,
    shard_tables,
    whole_table,
)


@check
def dense_gradients_are_averaged(mesh: DeviceMesh, folder: Path) -> None:
    rank, workers = mesh.get_local_rank(), mesh.size()
    used, used_by_one, unused, frozen = (nn.Parameter(torch.ones(2)) for _ in range(4))
    frozen.requires_grad_(False)
    used.grad = torch.full([2], float(rank))
    if rank == 0:
        used_by_one.grad = torch.ones(2)
    average_gradients([used, used_by_one, unused, frozen], mesh)
    close(used.grad, torch.full([2], (workers - 1) / 2))
    close(used_by_one.grad, torch.full([2], 1 / workers))
    assert unused.grad is None
    assert frozen.grad is None
    used.grad = torch.eye(2).to_sparse()[0]
    with pytest.raises(ValueError, match="not sharded"):
        average_gradients([used], mesh)


def _all_tensors(episode: EpisodeLoss, adam: RowAdam) -> dict[str, Any]:
    found: dict[str, Any] = dict(episode.named_parameters())
    for i, state in enumerate(adam.state.values()):
        found |= {f"adam/{i}/{key}": state[key] for key in ("mean", "square")}
    return found


@check
def checkpoints_are_those_of_one_process(mesh: DeviceMesh, folder: Path) -> None:
    """Parameters and moments, written in pieces of a row or two, then read on other meshes."""
    sharded_checkpoint.PIECE = 40
    rule, whole = RULES["meta-sgd-element"], episodes(torch.float64)
    theirs, model = episode_loss(mixture(), rule), mixture()
    shard_tables(model, mesh)
    ours = episode_loss(model, rule)
    theirs.accumulate_gradients(whole, 5)
    share_gradients(ours, whole, mesh, 5)
    pair = []
    for episode in (ours, theirs):
        tables = [p for p in episode.parameters() if p.grad is not None and p.grad.is_sparse]
        pair.append(RowAdam(tables, lr=0.1))
        pair[-1].step()
    settings, record = {"zeros": "0" * 64}, {"epoch": 3}
    path = folder / f"of-{mesh.size()}.safetensors"
    tensors = _all_tensors(ours, pair[0])
    save_sharded_checkpoint(path, tensors, settings, record, mesh)
    found, noted = load_checkpoint(path, settings)  # which checks the checksum
    assert noted == record
    wanted = _all_tensors(theirs, pair[1])
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        if isinstance(tensors[name], DTensor):
            close(found[name], tensor.detach())

    # Of the one that one process wrote, each worker reads its rows.
    path = folder / f"whole-{mesh.size()}-{mesh.get_local_rank()}.safetensors"
    save_checkpoint(path, wanted, settings, record)
    for tensor in tensors.values():
        with torch.no_grad():
            (rows_here(tensor)[0] if isinstance(tensor, DTensor) else tensor).zero_()
    assert load_sharded_checkpoint(path, tensors, settings) == record
    for name, tensor in tensors.items():
        full = whole_table(tensor) if isinstance(tensor, DTensor) else tensor
        assert torch.equal(full, wanted[name]), name

    rate = {"alpha.0": torch.zeros(2)}
    refuse(path, {"modle": rate["alpha.0"]}, settings, "has no 'modle'")
    refuse(path, rate, settings, "the model expects .2.;")
    refuse(path, {}, {"zeros": "1"}, "different settings .zeros")
    refuse(folder / "nothing", {}, settings, "checkpoint not found")
    path.write_bytes(path.read_bytes()[:-1])
    refuse(path, {}, settings, "damaged")


def refuse(path: Path, tensors: dict[str, Tensor], settings: dict[str, str], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_sharded_checkpoint(path, tensors, settings)

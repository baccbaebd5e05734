"""Checks of models that are sharded from the start, of their files, and of their gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sharded_world import WORLD, check, close, same_parameters
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from base_models import FM, LR, DeepFM
from metaselector.common.errors import CheckpointError, ConfigError
from metaselector.data.encoded.batch import Batch
from metaselector.models.kernels.on_rows import join, outputs, outputs_of_padding
from metaselector.models.selector import GatedSelector
from metaselector.training.checkpoint import load_checkpoint, save_checkpoint
from metaselector.training.distributed.sharded import files, initial
from metaselector.training.distributed.sharded.files import ShardedFiles
from metaselector.training.distributed.sharded.gradients import Averaging
from metaselector.training.distributed.sharded.initial import TablesInPieces, keep_blocks
from metaselector.training.distributed.sharded.rows import (
    mean_low_high,
    shard_tables,
    whole_table,
)
from metaselector.training.loop.clipping import clip_gradients


class Odd(nn.Module):
    """Tables that are initialised in many ways, with other parameters between them."""

    tables = ("first.weight", "second.weight", "ones", "halves", "given")

    def __init__(self, num_ids: int) -> None:
        super().__init__()
        self.first = nn.Embedding(num_ids, 3)
        self.between = nn.Linear(3, 3)
        self.second = nn.Embedding(num_ids, 2)
        nn.init.uniform_(self.second.weight, a=-0.1, b=0.2)
        nn.init.xavier_normal_(self.first.weight)
        self.ones = nn.Parameter(torch.ones(num_ids))
        self.halves = nn.Parameter(torch.full([num_ids], 0.25) * 2)
        self.given = nn.Parameter(torch.from_numpy(np.arange(num_ids, dtype=np.float32)))
        self.last = nn.Linear(2, 2)


@check
def initial_values_are_those_of_whole_tables(mesh: DeviceMesh, folder: Path) -> None:
    """In pieces of 64 numbers, whose last one may be short."""
    before, initial.PIECE = initial.PIECE, 64
    for num_ids in (5, 37, 203):
        made: list[Callable[[], nn.Module]] = [
            lambda n=num_ids: LR(n, [0, 1]),
            lambda n=num_ids: FM(n, [0, 1], embedding_size=3),
            lambda n=num_ids: DeepFM(n, [0, 1]),
            lambda n=num_ids: GatedSelector(n, [0, 1], 2),
            lambda n=num_ids: Odd(n),
        ]
        for make in made:
            torch.manual_seed(1)
            whole, after = make(), torch.rand(1)
            torch.manual_seed(1)
            with TablesInPieces(num_ids, mesh):
                ours = make()
            assert torch.equal(torch.rand(1), after)  # the generator ends where it did
            keep_blocks(ours, num_ids, mesh, "ours")
            for (name, p), q in zip(whole.named_parameters(), ours.parameters(), strict=True):
                assert isinstance(q, DTensor) == (name in ours.tables), name
                found = whole_table(q) if isinstance(q, DTensor) else q
                assert torch.equal(found, p), (num_ids, name)
    initial.PIECE = before


@check
def initial_values_can_be_left_out(mesh: DeviceMesh, folder: Path) -> None:
    with TablesInPieces(37, mesh, draw=False):
        model = FM(37, [0, 1])
    assert not whole_table(model.embedding.weight).any()


@check
def what_needs_whole_tables_is_refused(mesh: DeviceMesh, folder: Path) -> None:
    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(37, 2, padding_idx=0)  # sets one row of the whole table

    with (
        pytest.raises(ConfigError, match=r"mine: a table is initialised with '\w+', which --shard"),
        TablesInPieces(37, mesh, "mine"),
    ):
        Padded()
    with (
        pytest.raises(ConfigError, match="generator of its own"),
        TablesInPieces(37, mesh, "mine"),
    ):
        nn.init.normal_(torch.empty(37, 2), generator=torch.Generator())
    with TablesInPieces(37, mesh):
        model = nn.ParameterDict({"other": torch.zeros(37, 2)})
    with pytest.raises(ConfigError, match="mine: 'other' has 37 rows, as many as there are ids"):
        keep_blocks(model, 37, mesh, "mine")


@check
def files_are_read_by_rows(mesh: DeviceMesh, folder: Path) -> None:
    before, files.PIECE = files.PIECE, 40
    wanted = {
        "table": torch.randn(37, 3, generator=torch.Generator().manual_seed(0)),
        "other": torch.randn(36, 3),
        "number": torch.tensor(2.0),
    }
    made, folder = ShardedFiles(mesh, 37), folder / f"{mesh.size()}-{mesh.get_local_rank()}"
    path = folder / "whole.safetensors"
    save_checkpoint(path, wanted, {"a": 1}, {"b": 2})
    found = made.read(path)
    assert found.record == made.read_record(path).record == {"b": 2}
    assert not made.read_record(path).tensors
    assert torch.equal(whole_table(found.tensors["table"]), wanted["table"])
    assert all(torch.equal(found.tensors[name], wanted[name]) for name in ("other", "number"))
    again = folder.parent / f"again-{mesh.size()}.safetensors"
    made.save(again, found.tensors, {"a": 1}, {"b": 2})
    tensors, _ = load_checkpoint(again, {"a": 1})
    assert torch.equal(tensors["table"], wanted["table"])

    wanted["table"][5, 0] = torch.nan
    save_checkpoint(path, wanted, {}, {})
    with pytest.raises(CheckpointError, match="'table' holds non-finite numbers"):
        made.read(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for read in (made.read, made.read_record):
        with pytest.raises(CheckpointError, match=r"non-finite|checksum mismatch"):
            read(path)
    files.PIECE = before


@check
def steps_of_dense_adam_are_those_of_one_process(mesh: DeviceMesh, folder: Path) -> None:
    """Rows that a batch does not touch move by their moments and by weight decay, too."""
    ids, fields = WORLD.schema.num_ids, WORLD.schema.slot_fields
    torch.manual_seed(0)
    whole = FM(ids, fields, embedding_size=3).double()
    ours = copy.deepcopy(whole)
    shard_tables(ours, mesh)
    tables = [p for p in ours.parameters() if isinstance(p, DTensor)]
    averaging = Averaging(ours.parameters(), tables)
    rank, workers = mesh.get_local_rank(), mesh.size()
    adams = [
        torch.optim.Adam([{"params": [p]} for p in model.parameters()], lr=0.1, weight_decay=0.01)
        for model in (ours, whole)
    ]
    for step in range(3):
        rows = WORLD.batch(np.arange(step, 40 * (step + 1), 5)).to("cpu", torch.float64)
        n = len(rows.ids)
        part = slice(0, n // 2) if rank == 0 else slice(n // 2, n)
        for model in (ours, whole):
            model.zero_grad(set_to_none=True)
        loss = 0.0
        if rank < 2:
            own = Batch(*(slots[part] for slots in rows))
            mean = (outputs(ours, own) ** 2).sum() / n * workers
            mean.backward()
            loss = mean.item()
        else:
            join(ours)
        wanted = (whole(rows) ** 2).mean()
        wanted.backward()
        assert abs(averaging.average(loss) - wanted.item()) < 1e-6
        norm = averaging.clip(0.5)
        close(torch.tensor(norm), torch.tensor(clip_gradients(whole.parameters(), 0.5)))
        averaging.densify()
        for adam in adams:
            adam.step()
        same_parameters(ours, whole)


@check
def padding_needs_no_exchange(mesh: DeviceMesh, folder: Path) -> None:
    torch.manual_seed(0)
    model = LR(37, [0, 1])
    rows = Batch(torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2, 2))
    wanted = model(rows)
    shard_tables(model, mesh)
    if mesh.get_local_rank() == 0:  # alone
        assert torch.equal(outputs_of_padding(model, rows), wanted)


@check
def extremes_are_those_of_the_whole_table(mesh: DeviceMesh, folder: Path) -> None:
    for rows in (4, 37):  # of 4, a third worker holds none
        module = nn.Module()
        module.tables = ("t",)
        whole: Tensor = torch.randn(rows, 2, generator=torch.Generator().manual_seed(1)).double()
        module.t = nn.Parameter(whole.clone())
        shard_tables(module, mesh)
        wanted = torch.tensor([whole.mean().item(), whole.min().item(), whole.max().item()])
        close(torch.tensor(mean_low_high(module.t.detach())), wanted)

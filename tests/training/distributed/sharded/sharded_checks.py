"""What the workers of test_sharded_rows.py check, in a process each.

``python sharded_checks.py WORKERS FOLDER`` makes the workers, which meet through a file in FOLDER,
run all checks in order, and leave ``RANK.json``: by name of the check, its traceback, or null. Each
check compares with the same mathematics on whole tables in its own process. A check on two workers
is one on the first two of three, whose group is not the world's.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import traceback
from datetime import timedelta
from pathlib import Path

import pytest
import sharded_checkpoint_checks  # noqa: F401, registers its checks
import sharded_initial_checks  # noqa: F401
import torch
import torch.distributed as dist
from sharded_world import (
    CHECKS,
    RULES,
    check,
    close,
    episode_loss,
    episodes,
    mixture,
    same_gradients,
    same_parameters,
    share,
    share_gradients,
)
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from base_models import FM
from metaselector.common.errors import ConfigError
from metaselector.config import MetaTrainConfig
from metaselector.meta.adapt.rules import MAML, MetaSGD
from metaselector.meta.optimizers import outer_optimizers
from metaselector.models.kernels.row_adam import RowAdam
from metaselector.models.kernels.rows import take_tables
from metaselector.training.distributed.sharded.gradients import (
    clip_sharded_gradients,
)
from metaselector.training.distributed.sharded.order import RowOrder, block_of
from metaselector.training.distributed.sharded.rows import (
    TablesOnMeta,
    rows_here,
    shard_tables,
    whole_table,
)
from metaselector.training.loop.clipping import clip_gradients


@check
def blocks_are_those_of_dtensor(mesh: DeviceMesh, folder: Path) -> None:
    for rows in (1, 2, 3, 4, 5, 7, 9):
        held, first = rows_here(distribute_tensor(torch.arange(float(rows)), mesh, [Shard(0)]))
        assert (first, first + len(held)) == block_of(rows, mesh.size(), mesh.get_local_rank())
        assert held.tolist() == list(range(first, first + len(held)))


@check
def rows_come_and_gradients_return(mesh: DeviceMesh, folder: Path) -> None:
    """Overlapping and missing requests, tables of one and three axes, owners of no row, a frozen
    table, and gradients that add up over two passes."""
    rank, workers = mesh.get_local_rank(), mesh.size()
    for rows in (4, 7):  # of 4, a third worker holds none
        whole = {
            "wide": torch.randn(rows, 2, 3, generator=torch.Generator().manual_seed(1)).double(),
            "thin": torch.randn(rows, generator=torch.Generator().manual_seed(2)).double(),
            "fixed": torch.arange(rows * 2.0).double().view(rows, 2),
        }
        module = nn.Module()
        module.tables = frozenset(whole)
        for name, table in whole.items():
            module.register_parameter(name, nn.Parameter(table, requires_grad=name != "fixed"))
        shard_tables(module, mesh)
        sharded = dict(module.named_parameters())
        wants = [[0, 1, rows - 1], [], [0, 2]][:workers]
        for _ in range(2):
            taken = take_tables(sharded, torch.tensor(wants[rank], dtype=torch.int64))
            for name, table in whole.items():
                assert torch.equal(taken[name], table[wants[rank]])
            ((rank + 1) * (taken["wide"].square().sum() + taken["thin"].square().sum())).backward()
        assert sharded["fixed"].grad is None
        for name in ("wide", "thin"):
            wanted = torch.zeros_like(whole[name])
            for worker, ids in enumerate(wants):
                wanted[ids] += 2 * (worker + 1) * 2 * whole[name][ids] / workers
            first, stop = block_of(rows, workers, rank)
            wanted = wanted[RowOrder(rows).ids(0, rows)]
            wanted[:first], wanted[stop:] = 0, 0
            close(sharded[name].grad.to_dense(), wanted)


@check
def gradients_are_those_of_whole_tables(mesh: DeviceMesh, folder: Path) -> None:
    """Second order and first, every granularity of rates, in pieces and at once."""
    for name, rule in RULES.items():
        by_element = name == "meta-sgd-element"
        for dtype in (torch.float64, torch.float32) if by_element else (torch.float64,):
            whole = episodes(dtype)
            theirs = episode_loss(mixture(dtype), rule)
            loss = theirs.accumulate_gradients(whole, 5)
            for at_once in (3, 1) if by_element else (3,):
                model = mixture(dtype)
                shard_tables(model, mesh)
                ours = episode_loss(model, rule)
                found = share_gradients(ours, whole, mesh, at_once)
                close(torch.tensor(found, dtype=dtype), torch.tensor(loss, dtype=dtype))
                same_gradients(ours, theirs)
                sharded = [rate for rate in ours.alpha if isinstance(rate, DTensor)]
                assert len(sharded) == (len(model.tables) if by_element else 0)


@check
@torch.no_grad()
def predictions_are_those_of_whole_tables(mesh: DeviceMesh, folder: Path) -> None:
    model, whole = mixture(), episodes(torch.float64)
    shard_tables(model, mesh)
    ours, theirs = (episode_loss(m, MAML(0.3)) for m in (model, mixture()))
    own = share(whole, mesh)
    if own is None:
        ours.join_empty()
        return
    found = ours.predict(own)
    for part, wanted in zip(found, theirs.predict(own), strict=True):
        close(part, wanted)


@check
def frozen_tables_are_read_alone(mesh: DeviceMesh, folder: Path) -> None:
    model, other = mixture(), mixture()
    for made in (model, other):
        made.base_models.requires_grad_(False)
    shard_tables(model, mesh)
    rule, whole = MetaSGD(0.3), episodes(torch.float64)
    ours, theirs = episode_loss(model, rule), episode_loss(other, rule)
    theirs.accumulate_gradients(whole, 5)
    share_gradients(ours, whole, mesh, 3)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)


@check
def training_is_that_of_one_process(mesh: DeviceMesh, folder: Path) -> None:
    """Eight joint steps with clipped gradients, Adam and RowAdam, on a planted world."""
    config = MetaTrainConfig(outer_lr_theta=0.02, outer_lr_phi=0.03, weight_decay=0.01)
    rule = RULES["meta-sgd-element"]
    theirs = episode_loss(mixture(), rule)
    model = mixture()
    shard_tables(model, mesh)
    ours = episode_loss(model, rule)
    optimizers = outer_optimizers(model, ours, config)
    reference = outer_optimizers(theirs.model, theirs, config)
    losses = []
    for step in range(8):
        whole = episodes(torch.float64, seed=step)
        for module in (ours, theirs):
            module.zero_grad(set_to_none=True)
        found = share_gradients(ours, whole, mesh, 2)
        wanted = theirs.accumulate_gradients(whole, 2)
        close(torch.tensor(found).double(), torch.tensor(wanted).double())
        losses.append(found)
        norm = clip_sharded_gradients(ours.parameters(), 0.1, mesh)
        wanted = clip_gradients(theirs.parameters(), 0.1)
        assert norm > 0.1
        close(torch.tensor(norm).double(), torch.tensor(wanted).double())
        for optimizer in (*optimizers, *reference):
            optimizer.step()
    same_parameters(ours, theirs)
    assert losses[-1] != losses[0]
    (rows,) = (o for o in optimizers if isinstance(o, RowAdam))
    for p, state in rows.state.items():
        assert isinstance(p, DTensor)
        for key in ("mean", "square"):
            assert rows_here(state[key])[0].shape == rows_here(p)[0].shape


@check
def tables_may_be_too_large_to_be_whole(mesh: DeviceMesh, folder: Path) -> None:
    with TablesOnMeta(7):
        model = FM(7, [0, 1], embedding_size=2)
    assert {n for n, p in model.named_parameters() if p.is_meta} == set(model.tables)
    with pytest.raises(ConfigError, match="fill="):
        shard_tables(model, mesh)

    def fill(name: str, rows: Tensor, ids: Tensor) -> None:
        rows.copy_(ids.view(-1, 1).expand_as(rows))

    assert shard_tables(model, mesh, fill) == sorted(model.tables)
    for name in model.tables:
        table = whole_table(model.get_parameter(name))
        assert torch.equal(table, torch.arange(7.0).view(-1, 1).expand_as(table))


@check
def a_table_with_two_names_stays_one(mesh: DeviceMesh, folder: Path) -> None:
    model = nn.ModuleDict({"a": nn.Embedding(5, 2), "b": nn.Embedding(5, 2)})
    model["b"].weight = model["a"].weight
    model.tables = ("a.weight", "b.weight")
    shard_tables(model, mesh)
    assert model["a"].weight is model["b"].weight


@check
def an_unknown_id_is_refused(mesh: DeviceMesh, folder: Path) -> None:
    table = distribute_tensor(torch.zeros(5, 2), mesh, [Shard(0)])
    with pytest.raises(ValueError, match="outside a table of 5 rows"):
        take_tables({"t": table}, torch.tensor([1, 5]))


@check
def a_mesh_of_two_dimensions_is_refused(mesh: DeviceMesh, folder: Path) -> None:
    class Plane:
        ndim = 2

    with pytest.raises(ConfigError, match="has 2 dimensions"):
        shard_tables(mixture(), Plane())


def work(rank: int, workers: int, folder: Path) -> None:
    store = dist.FileStore(str(folder / "store"), workers)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=workers, timeout=timedelta(seconds=60)
    )
    found: dict[str, str | None] = {}
    for size in (workers, 2):
        mesh = DeviceMesh("cpu", list(range(size)))  # made by all, also by those outside
        for name, function in CHECKS.items() if rank < size else ():
            try:
                function(mesh, folder)
                found[f"{name} on {size}"] = None
            except Exception:
                found[f"{name} on {size}"] = traceback.format_exc()
                raise  # the others may be a collective further, and see that this one is gone
            finally:
                (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


def main(workers: int, folder: Path) -> None:
    context = multiprocessing.get_context("fork")  # so that torch is imported once
    running = [
        context.Process(target=work, args=(rank, workers, folder)) for rank in range(workers)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    sys.exit(any(process.exitcode for process in running))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

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
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from base_models import FM, LR
from metaselector.common.errors import CheckpointError, ConfigError
from metaselector.config import MetaTrainConfig
from metaselector.data.planted import planted_world
from metaselector.data.splitting.episodes import Episodes, load_episodes, window_episodes
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.meta.optimizers import outer_optimizers
from metaselector.models.kernels.row_adam import RowAdam
from metaselector.models.kernels.rows import take_tables
from metaselector.models.losses import mean_loss
from metaselector.models.mixture import Mixture
from metaselector.models.selector import GatedSelector
from metaselector.training.checkpoint import load_checkpoint, save_checkpoint
from metaselector.training.distributed.sharded import checkpoint as sharded_checkpoint
from metaselector.training.distributed.sharded.checkpoint import (
    load_sharded_checkpoint,
    save_sharded_checkpoint,
)
from metaselector.training.distributed.sharded.gradients import (
    average_gradients,
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

RULES: dict[str, InnerRule] = {
    "maml": MAML(0.3),
    "first-order-maml": MAML(0.3, second_order=False),
    "meta-sgd-scalar": MetaSGD(0.3, granularity="scalar"),
    "meta-sgd-tensor": MetaSGD(0.3, granularity="tensor"),
    "meta-sgd-element": MetaSGD(0.3, granularity="element"),
}
CLOSE = {torch.float64: 1e-12, torch.float32: 1e-6}
WORLD = planted_world(4, 20, 8, np.random.default_rng(0)).dataset
CHECKS: dict[str, Callable[[DeviceMesh, Path], None]] = {}


def check(function: Callable[[DeviceMesh, Path], None]) -> Callable[[DeviceMesh, Path], None]:
    CHECKS[function.__name__] = function
    return function


def close(found: Tensor, wanted: Tensor) -> None:
    """Equal but for rounding, relative to the largest number."""
    tolerance = CLOSE[wanted.dtype]
    scale = max(1.0, float(wanted.abs().max())) if wanted.numel() else 1.0
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance * scale)


def mixture(dtype: torch.dtype = torch.float64) -> Mixture:
    """The same on every worker."""
    torch.manual_seed(0)
    ids, fields = WORLD.schema.num_ids, WORLD.schema.slot_fields
    models = {"lr": LR(ids, fields), "fm": FM(ids, fields, embedding_size=3)}
    made = Mixture(models, GatedSelector(ids, fields, 2, embedding_size=2, hidden_size=3))
    for p in made.parameters():
        nn.init.normal_(p, std=0.5)
    return made.to(dtype).eval()


def episode_loss(model: Mixture, rule: InnerRule) -> EpisodeLoss:
    adaptation = Adaptation(rule, 2, tuple(name for name, _ in model.named_parameters()))
    rates = adaptation.initial_rates(dict(model.named_parameters()))
    return EpisodeLoss(model, rates, adaptation, FuncEngine(), mean_loss)


def episodes(dtype: torch.dtype, seed: int = 0) -> Episodes:
    """Five users whose queries differ in length."""
    users = np.random.default_rng(seed).permutation(WORLD.num_users)[:5]
    rows = window_episodes(WORLD, (60, 100), 6, users)
    rows.query[1, 2:] = -1
    rows.query[3, 5:] = -1
    return load_episodes(WORLD, rows).to("cpu", dtype)


def share(whole: Episodes, mesh: DeviceMesh) -> Episodes | None:
    """This worker's users: of two workers 3 and 2, of three 3, 2 and none."""
    parts = whole.split(3)
    rank = mesh.get_local_rank()
    return parts[rank] if rank < len(parts) else None


def share_gradients(episode: EpisodeLoss, whole: Episodes, mesh: DeviceMesh, at_once: int) -> float:
    """One step of the outer loop: gradients of the mean over all workers' rows, and that mean."""
    own = share(whole, mesh)
    total = torch.zeros((), dtype=torch.float64)
    if own is None:
        episode.join_empty()
    else:
        part = (own.query.mask.sum() / whole.query.mask.sum()).item()
        total += part * episode.accumulate_gradients(own, at_once, weight=mesh.size() * part)
    average_gradients(episode.parameters(), mesh)
    dist.all_reduce(total, group=mesh.get_group())
    return total.item()


def same_gradients(ours: nn.Module, theirs: nn.Module) -> None:
    """Of a sharded module here, and of the whole one."""
    seen = 0
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if not q.requires_grad:
            assert p.grad is None, name
            continue
        assert p.grad is not None, name
        wanted = q.grad.to_dense()
        if isinstance(p, DTensor):
            held, first = rows_here(p)
            assert p.grad.is_sparse
            own = torch.zeros_like(wanted)
            places = RowOrder(len(p)).ids(first, first + len(held))
            own[first : first + len(held)] = wanted[places]
            wanted, seen = own, seen + 1
        close(p.grad.to_dense(), wanted)
    assert seen >= 4  # the tables of lr, fm (two) and the selector


def same_parameters(ours: nn.Module, theirs: nn.Module) -> None:
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        found = whole_table(p) if isinstance(p, DTensor) else p.detach()
        try:
            close(found, q.detach())
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


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
    with pytest.raises(ValueError, match="has 5 rows"):
        take_tables({"t": table}, torch.tensor([1, 5]))


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
    refuse(path, rate, settings, "the model's .2.;")
    refuse(path, {}, {"zeros": "1"}, "another configuration: zeros")
    refuse(folder / "nothing", {}, settings, "no such checkpoint")
    path.write_bytes(path.read_bytes()[:-1])
    refuse(path, {}, settings, "damaged")


def refuse(path: Path, tensors: dict[str, Tensor], settings: dict[str, str], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_sharded_checkpoint(path, tensors, settings)


@check
def a_mesh_of_two_dimensions_is_refused(mesh: DeviceMesh, folder: Path) -> None:
    class Plane:
        ndim = 2

    with pytest.raises(ConfigError, match="one dimension"):
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

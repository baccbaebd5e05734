"""One worker process of :mod:`benchmarks.sharded_rows`."""

from __future__ import annotations

import ctypes
import gc
import json
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh

from benchmarks import measure
from metaselector.config import Config
from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.meta.adapt.rules import MetaSGD
from metaselector.meta.optimizers import outer_optimizers
from metaselector.models import registry
from metaselector.models.kernels.rows import take_tables
from metaselector.models.losses import mean_loss
from metaselector.models.mixture import Mixture
from metaselector.models.selector import GatedSelector
from metaselector.training.distributed.communication import make_communication
from metaselector.training.distributed.sharded.gradients import average_gradients
from metaselector.training.distributed.sharded.order import RowOrder
from metaselector.training.distributed.sharded.rows import TablesOnMeta, rows_here, shard_tables

USERS, SUPPORT, QUERY, SLOTS = 32, 40, 100, 10
FEW = 30
"""Ids of the fields with few values."""
SCATTER = 2_654_435_761  # a prime, so the few frequent items are spread over all rows
WARM_UP = 3
NUMBERS = 42
"""Numbers per id in all tables together."""
Exchange = Callable[[], None]


class Watch:
    """Counts the bytes that this worker sends and its seconds in collectives.

    Bytes are the least that the algorithms need: with N workers an all-reduce of n bytes sends
    ``2 (N - 1) / N n``, an all-gather ``(N - 1) n``, and an all-to-all the parts for others.
    """

    def __init__(self) -> None:
        self.sent, self.seconds = 0.0, 0.0
        for name in ("all_to_all_single", "all_reduce", "all_gather"):
            setattr(dist, name, self._watched(name, getattr(dist, name)))

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.sent += self._bytes(name, args)
            started = time.perf_counter()
            done = call(*args, **kwargs)
            self.seconds += time.perf_counter() - started
            return done

        return watched

    @staticmethod
    def _bytes(name: str, args: tuple[Any, ...]) -> float:
        workers, rank = dist.get_world_size(), dist.get_rank()
        tensor: Tensor = args[0] if name == "all_reduce" else args[1]
        size = tensor.numel() * tensor.element_size()
        if name == "all_reduce":
            return 2 * (workers - 1) / workers * size
        if name == "all_gather":
            return (workers - 1) * size
        own = args[3][rank] / max(len(tensor), 1) if len(args) > 3 else 1 / workers
        return size * (1 - own)


def make_mixture(num_ids: int) -> Mixture:
    """Untrained LR, FM and DeepFM (D = 16) with a selector (D = 8): 42 numbers per row in all."""
    torch.manual_seed(0)
    fields = list(range(SLOTS))
    models = {
        "lr": registry.model_class("lr")(num_ids, fields),
        "fm": registry.model_class("fm")(num_ids, fields, embedding_size=16),
        "deepfm": registry.model_class("deepfm")(
            num_ids, fields, embedding_size=16, hidden_sizes=(64, 64)
        ),
    }
    return Mixture(models, GatedSelector(num_ids, fields, len(models))).eval()


def make_episodes(num_ids: int, rank: int, workers: int) -> Episodes:
    """Episodes of this worker's users; some items are popular."""
    generator = torch.Generator().manual_seed(rank)
    users, rows = USERS // workers, SUPPORT + QUERY
    rest = num_ids - 1 - FEW
    popularity = torch.rand(users, rows + 5, generator=generator, dtype=torch.float64).pow(3)
    items = (popularity * rest).long() * SCATTER % rest  # [U, rows + 5]
    history = items.unfold(1, 6, 1)  # [U, rows, 6]
    user = torch.randint(rest, (users, 1, 1), generator=generator).expand(-1, rows, -1)
    few = torch.randint(1, 1 + FEW, (users, rows, 3), generator=generator)
    ids = torch.cat([1 + FEW + user, 1 + FEW + history, few], dim=2)  # [U, rows, SLOTS]
    labels = (torch.rand(users, rows, generator=generator) < 0.5).float()

    def part(where: slice) -> Rows:
        chosen = ids[:, where].contiguous()
        some = labels[:, where]
        return Rows(Batch(chosen, torch.ones(chosen.shape)), some, torch.ones_like(some))

    return Episodes(part(slice(SUPPORT)), part(slice(SUPPORT, None)))


def exchange_touched_rows(tables: Sequence[nn.Parameter]) -> Exchange:
    """A function that averages row-sparse gradients over replicas with different touched rows."""
    communication = make_communication("sparse", tables, ())

    def exchange() -> None:
        means = [communication.later(table.grad) for table in tables if table.grad is not None]
        communication.finish(tables[0].device)
        for table, mean in zip(tables, means, strict=True):
            table.grad = mean.value()

    return exchange


def average_whole_gradients(tables: Sequence[Tensor]) -> None:
    for table in tables:
        assert table.grad is not None
        whole = table.grad.to_dense()
        dist.all_reduce(whole)
        table.grad = whole.div_(dist.get_world_size())


def fill(name: str, rows: Tensor, ids: Tensor) -> None:
    rows.normal_(std=0.01)


def make_step(kind: str, num_ids: int, mesh: DeviceMesh) -> tuple[Exchange, int]:
    """A step of one worker, and the number of distinct rows that it touches."""
    rank, workers = mesh.get_local_rank(), mesh.size()
    if kind == "sharded":
        with TablesOnMeta(num_ids):
            mixture = make_mixture(num_ids)
        shard_tables(mixture, mesh, fill)
    else:
        mixture = make_mixture(num_ids)
    adaptation = Adaptation(MetaSGD(0.05), 1, tuple(name for name, _ in mixture.named_parameters()))
    rates = adaptation.initial_rates(dict(mixture.named_parameters()))
    episode = EpisodeLoss(mixture, rates, adaptation, make_engine("func"), mean_loss)
    episodes = make_episodes(num_ids, rank, workers)
    tables = [p for name, p in mixture.named_parameters() if name in mixture.tables]
    known = {id(table) for table in tables}
    others = [p for p in episode.parameters() if id(p) not in known]
    if kind == "dense":
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(episode.parameters(), lr=1e-3, fused=True)
        ]
    else:
        optimizers = outer_optimizers(mixture, episode, Config().meta_train)

    exchange = exchange_touched_rows(tables)

    def step() -> None:
        episode.zero_grad(set_to_none=True)
        episode.accumulate_gradients(episodes, USERS)
        if kind == "rows":
            exchange()
        elif kind == "dense":
            average_whole_gradients(tables)
        average_gradients(others, mesh)
        for optimizer in optimizers:
            optimizer.step()

    ids = torch.cat([part.batch.ids.flatten() for part in (episodes.support, episodes.query)])
    return step, len(ids.unique()) + 1


def compare_collectives(
    num_ids: int, mesh: DeviceMesh, repeats: int, watch: Watch
) -> dict[str, Any]:
    """Fetching rows of 42 columns by all-to-all, and as a sum over the workers' parts."""
    rank, workers = mesh.get_local_rank(), mesh.size()
    with TablesOnMeta(num_ids):
        module = registry.model_class("fm")(num_ids, range(SLOTS), embedding_size=NUMBERS - 1)
    names = shard_tables(module, mesh, fill)
    tables: dict[str, Any] = {n: module.get_parameter(n) for n in sorted(names)}
    episodes = make_episodes(num_ids, rank, workers)
    ids = torch.cat([episodes.support.batch.ids.flatten(), episodes.query.batch.ids.flatten()])
    rows = ids.unique()
    here = [rows_here(table) for table in tables.values()]
    held, first = torch.cat([part for part, _ in here], dim=1), here[0][1]

    def all_to_all() -> None:
        with torch.no_grad():
            take_tables(tables, rows)

    def sum_of_all() -> None:
        count = torch.tensor([len(rows)])
        counts = [torch.zeros_like(count) for _ in range(workers)]
        dist.all_gather(counts, count)
        padded = rows.new_zeros(int(max(counts)))
        padded[: len(rows)] = rows
        wanted = [torch.empty_like(padded) for _ in range(workers)]
        dist.all_gather(wanted, padded)
        place = RowOrder(num_ids).places(torch.stack(wanted)) - first  # [N, n]
        mine = (place >= 0) & (place < len(held))
        found = held.new_zeros(*place.shape, held.shape[1])
        found[mine] = held[place[mine]]
        dist.all_reduce(found)  # gloo has no reduce-scatter for this

    return {
        name: _timed(task, repeats, watch)
        for name, task in (("all-to-all", all_to_all), ("sum of all", sum_of_all))
    }


def _timed(task: Exchange, repeats: int, watch: Watch) -> dict[str, Any]:
    for _ in range(WARM_UP):
        task()
    watch.sent, watch.seconds, seconds, cpu = 0.0, 0.0, [], []
    for _ in range(repeats):
        dist.barrier()
        started, busy = time.perf_counter(), time.process_time()
        task()
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - busy)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "seconds_in_collectives": watch.seconds / repeats,
        "bytes_sent": watch.sent / repeats,
    }


def work(kind: str, num_ids: int, rank: int, workers: int, folder: str, repeats: int) -> None:
    """Run one worker and write its measurements to a file."""
    torch.set_num_threads(1)
    store = FileStore(f"{folder}/store", workers)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=workers, timeout=timedelta(minutes=10)
    )
    mesh, watch = DeviceMesh("cpu", list(range(workers))), Watch()
    if kind == "collectives":
        found = compare_collectives(num_ids, mesh, repeats, watch)
    else:
        before = measure.held("VmRSS")
        step, touched = make_step(kind, num_ids, mesh)
        found = _timed(step, repeats, watch) | {"rows_touched": touched}
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        found["megabytes"] = (measure.held("VmRSS") - before) * 1024 / 1e6
        found["peak_megabytes"] = (measure.held("VmHWM") - before) * 1024 / 1e6
    Path(f"{folder}/{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()

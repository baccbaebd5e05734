"""How gradients travel between workers, chosen by ``meta_train.comm``.

All but ``none`` send of a table the rows alone that the meta-batch touches. Numbers are those of
``none`` for ``sparse``; fp16 and bf16 round, PowerSGD (Vogels et al., NeurIPS 2019, with error
feedback) approximates, and post-local SGD (Lin et al., ICLR 2020) lets workers go apart between
averages of their parameters. The optimizers' moments are never averaged there.
"""
# DDP compares the annotation of a hook's `bucket` with a class: annotations are no strings here.

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from metaselector.training.distributed import workers
from metaselector.training.distributed.wire import (
    Traffic,
    Wire,
    apart,
    arrive,
    as_bytes,
    side_by_side,
    size_of,
)

WARM_UP = 10
"""Steps with exact gradients before PowerSGD or local steps begin."""

HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Kind(NamedTuple):
    """What ``meta_train.comm`` names, and its number, if it has one."""

    name: str
    number: int = 0


def parse(comm: str) -> Kind:
    """Take apart a setting such as ``powersgd:2``."""
    name, _, number = comm.partition(":")
    return Kind(name, int(number or 0))


@dataclass
class Communication:
    """Averages gradients, or parameters.

    Args:
        kind: as the setting names it.
        tables: parameters with row-sparse gradients, all of the same rows in a step.
        others: all others that are trained.

    Attributes:
        loss: of this worker; once gradients have travelled, the mean over all.
    """

    kind: Kind
    tables: list[nn.Parameter]
    others: list[nn.Parameter]
    traffic: Traffic = field(default_factory=Traffic)
    loss: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._size, self._powersgd, self._steps = workers.count(), None, 0
        self._in_step = True
        self._wire = Wire(self.traffic, self._size)
        self._touched: list[Tensor] = []
        self._waiting: list[tuple[Tensor, Future[Tensor]]] = []
        self._dense: list[tuple[Tensor, Tensor, Any, Future[Tensor]]] = []
        if self.kind.name == "powersgd":
            self._powersgd = powerSGD_hook.PowerSGDState(
                None,
                matrix_approximation_rank=self.kind.number,
                start_powerSGD_iter=WARM_UP,
                use_error_feedback=True,
            )
        if self.kind.name == "local-sgd":
            self._averager = PeriodicModelAverager(period=self.kind.number, warmup_steps=WARM_UP)

    @property
    def row_sparse(self) -> bool:
        """Whether touched rows travel alone."""
        return self.kind.name != "none"

    @property
    def averages_gradients(self) -> bool:
        """Whether the step under way averages gradients."""
        return self.kind.name != "local-sgd" or self._steps < WARM_UP

    @property
    def in_step(self) -> bool:
        """Whether all workers have the same parameters."""
        return self._in_step

    def register(self, replica: DistributedDataParallel) -> None:
        """Let DDP call this for every bucket of gradients."""
        replica.register_comm_hook(self, _hook)

    def after_update(self) -> None:
        """Count a step; average parameters, where it is time to."""
        averaged = self.averages_gradients
        self._steps += 1
        self.traffic.steps += 1
        if self.kind.name != "local-sgd":
            return
        if not averaged:
            for table in self.tables[:1]:
                assert table.grad is not None
                self._touched.append(table.grad.coalesce().indices()[0])
            # torch's averager sends whole tables, so that it gets the others alone.
            self._in_step = (self._averager.step - WARM_UP) % self.kind.number == 0
            if self._in_step:
                self._average_tables()
                self._wire.count_all_reduce(sum(size_of(p) for p in self.others))
        started = time.perf_counter()
        self._averager.average_parameters(iter(self.others))
        self.traffic.seconds += time.perf_counter() - started

    @torch.no_grad()
    def synchronize(self) -> None:
        """Average parameters now, so that all workers have the same."""
        if self.in_step:
            return
        self._in_step = True
        self._average_tables()
        for parameter in self.others:
            self._wire.all_reduce(parameter.data)
            parameter.data.div_(self._size)

    def state(self) -> dict[str, Tensor]:
        """What goes on after an interruption, by name.

        It is what PowerSGD owes (the mean over workers of its errors), and the number of steps of
        post-local SGD; nothing of the others. All workers must call this.
        """
        if self.kind.name == "local-sgd":
            return {"steps": torch.tensor(self._steps)}
        if self._powersgd is None:
            return {}
        found = {}
        for index, error in sorted(self._powersgd.error_dict.items()):
            mean = error.detach().clone()
            dist.all_reduce(mean)
            found[str(index)] = mean.div_(self._size)
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from :meth:`state`, which any number of workers may have made."""
        if not state:
            return
        if self.kind.name == "local-sgd":
            self._steps = self._averager.step = int(state["steps"])
        if self._powersgd is not None:
            self._powersgd.error_dict.update({int(i): error.clone() for i, error in state.items()})
            self._powersgd.iter = WARM_UP

    @torch.no_grad()
    def _average_tables(self) -> None:
        if not self.tables:
            return
        own = torch.cat(self._touched).unique()
        own = own.to(_index_type(self.tables[0]))
        rows = torch.cat(self._wire.all_gather(own, self._wire.lengths(own))).long().unique()
        values = side_by_side([table.data.index_select(0, rows) for table in self.tables])
        self._wire.all_reduce(values)
        for table, part in zip(self.tables, apart(values, self.tables), strict=True):
            table.data.index_copy_(0, rows, part.div_(self._size))
        self._touched.clear()

    def average(self, bucket: Any) -> Future[Tensor]:
        """The mean of a bucket of dense gradients, once :meth:`finish` was called."""
        buffer: Tensor = bucket.buffer()
        if self._powersgd is not None:
            return self._approximate(self._powersgd, bucket)
        sent = buffer.to(HALF.get(self.kind.name, buffer.dtype)).div_(self._size)
        work = dist.all_reduce(sent, async_op=True)
        self._wire.count_all_reduce(size_of(sent))
        future: Future[Tensor] = Future()
        self._dense.append((buffer, sent, work, future))
        return future

    def _approximate(self, powersgd: Any, bucket: Any) -> Future[Tensor]:
        size = size_of(bucket.buffer())
        before = powersgd.total_numel_after_compression
        compressed = powersgd.iter >= WARM_UP
        started = time.perf_counter()
        future: Future[Tensor] = powerSGD_hook.powerSGD_hook(powersgd, bucket)
        future.wait()  # one message is sent when another has come: nothing may come in between
        self.traffic.seconds += time.perf_counter() - started
        if compressed:
            size = 4 * (powersgd.total_numel_after_compression - before)
        # What is not compressed, then the two factors of what is.
        self._wire.count_all_reduce(size, 3 if compressed else 1)
        return future

    def later(self, gradient: Tensor) -> Future[Tensor]:
        """The mean of a row-sparse gradient, once :meth:`finish` was called."""
        future: Future[Tensor] = Future()
        self._waiting.append((gradient.coalesce(), future))
        return future

    def finish(self, device: torch.device) -> None:
        """Send what is left of a step, once all buckets have come, and wait for all of it."""
        rows = self._waiting[0][0].indices()[0] if self._waiting else None
        told = [0 if rows is None else len(rows), self.loss]
        lengths, losses = self._wire.tell(told, device)
        self.loss = sum(losses) / self._size
        if rows is not None:
            self._exchange_rows(rows, [int(length) for length in lengths])
        started = time.perf_counter()
        for buffer, sent, work, future in self._dense:
            arrive(work, sent)
            future.set_result(buffer.copy_(sent))
        self.traffic.seconds += time.perf_counter() - started
        self._dense.clear()

    def _exchange_rows(self, rows: Tensor, lengths: list[int]) -> None:
        """Average all tables' gradients, which have other rows on every worker, in one message."""
        gradients, futures = zip(*self._waiting, strict=True)
        self._waiting.clear()
        assert all(len(gradient.indices()[0]) == len(rows) for gradient in gradients)
        values = side_by_side([gradient.values() for gradient in gradients])  # [L, W]
        half = HALF.get(self.kind.name, values.dtype)
        height = len(self.tables[0])
        # An all-gather sends what N - 1 others have, an all-reduce 2 (N - 1) / N of everything.
        gathers = self._size * max(lengths) <= 2 * height
        exchange = self._gather_rows if gathers else self._reduce_rows
        rows, mean = exchange(rows, values.to(half).div_(self._size), lengths, height)
        means = apart(mean.to(values.dtype), [gradient.values() for gradient in gradients])
        for gradient, own, future in zip(gradients, means, futures, strict=True):
            future.set_result(
                torch.sparse_coo_tensor(
                    rows[None], own, gradient.shape, is_coalesced=True, check_invariants=False
                )
            )

    def _gather_rows(
        self, rows: Tensor, values: Tensor, lengths: list[int], height: int
    ) -> tuple[Tensor, Tensor]:
        """Sum rows that travel as bytes: each its number, then what all tables have of it."""
        index = _index_type(self.tables[0])
        parts = as_bytes(rows.to(index)[:, None]), as_bytes(values)
        packed = torch.cat(self._wire.all_gather(torch.cat(parts, dim=1), lengths))
        found = packed[:, : index.itemsize].contiguous().view(index)[:, 0].long()
        theirs = packed[:, index.itemsize :].contiguous().view(values.dtype)
        theirs = theirs.to(torch.promote_types(values.dtype, torch.float32))
        size = (height, values.shape[1])
        total = torch.sparse_coo_tensor(found[None], theirs, size, check_invariants=False)
        total = total.coalesce()
        return total.indices()[0], total.values()

    def _reduce_rows(
        self, rows: Tensor, values: Tensor, lengths: list[int], height: int
    ) -> tuple[Tensor, Tensor]:
        """Sum whole tables, with a column more that says which rows anyone has touched."""
        total = values.new_zeros(height, values.shape[1] + 1)
        touched = values.new_ones(len(rows), 1)
        total.index_copy_(0, rows, torch.cat([values, touched], dim=1))
        self._wire.all_reduce(total)
        found = total[:, -1].nonzero()[:, 0]
        return found, total[:, :-1].index_select(0, found)


def _hook(
    state: Any,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> Future[Tensor]:
    sparse = bucket.buffer().is_sparse
    future = state.later(bucket.buffer()) if sparse else state.average(bucket)
    if bucket.is_last():
        state.finish(bucket.buffer().device)
    return future


def _index_type(table: Tensor) -> torch.dtype:
    """The smallest that has room for its rows."""
    return torch.int32 if table.shape[0] < 2**31 else torch.int64


def make_communication(
    comm: str | None,
    tables: Iterable[nn.Parameter],
    others: Iterable[nn.Parameter],
    traffic: Traffic | None = None,
) -> Communication:
    """As the setting says; null is ``sparse``."""
    return Communication(parse(comm or "sparse"), list(tables), list(others), traffic or Traffic())

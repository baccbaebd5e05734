"""Exchange gradients between workers, as ``meta_train.comm`` selects.

All kinds but ``none`` send only the table rows that the meta-batch touches. ``sparse`` gives the
same numbers as ``none``; fp16 and bf16 round; PowerSGD (Vogels et al., NeurIPS 2019, with error
feedback) approximates; and post-local SGD (Lin et al., ICLR 2020) lets parameters diverge between
workers and averages them from time to time, without averaging the optimizers' moments.
"""
# No `from __future__ import annotations`: DDP checks the type of a hook's `bucket` annotation.

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
"""Steps with exact gradients before PowerSGD or local steps start."""

HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Kind(NamedTuple):
    """Kind of ``meta_train.comm`` and its number, if any."""

    name: str
    number: int = 0


def parse(comm: str) -> Kind:
    """Parse a setting such as ``powersgd:2``."""
    name, _, number = comm.partition(":")
    return Kind(name, int(number or 0))


@dataclass
class Communication:
    """Averages gradients, or parameters.

    Args:
        kind: the parsed setting.
        tables: parameters with row-sparse gradients, all with the same rows in a step.
        others: all other trained parameters.

    Attributes:
        loss: this worker's loss; after gradients are exchanged, the mean over all workers.
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
        """Whether only touched rows are sent."""
        return self.kind.name != "none"

    @property
    def averages_gradients(self) -> bool:
        """Whether the current step averages gradients."""
        return self.kind.name != "local-sgd" or self._steps < WARM_UP

    @property
    def in_step(self) -> bool:
        """Whether all workers have the same parameters."""
        return self._in_step

    def register(self, replica: DistributedDataParallel) -> None:
        """Register this as DDP's hook for every bucket of gradients."""
        replica.register_comm_hook(self, _hook)

    def after_update(self) -> None:
        """Count a step, and average parameters if they are due."""
        averaged = self.averages_gradients
        self._steps += 1
        self.traffic.steps += 1
        if self.kind.name != "local-sgd":
            return
        if not averaged:
            for table in self.tables[:1]:
                assert table.grad is not None
                self._touched.append(table.grad.coalesce().indices()[0])
            # torch's averager would send whole tables, so it gets only the other parameters.
            self._in_step = (self._averager.step - WARM_UP) % self.kind.number == 0
            if self._in_step:
                self._average_tables()
                self._wire.count_all_reduce(sum(size_of(p) for p in self.others))
        started = time.perf_counter()
        self._averager.average_parameters(iter(self.others))
        self.traffic.seconds += time.perf_counter() - started

    @torch.no_grad()
    def synchronize(self) -> None:
        """Average parameters now, so that they are equal on all workers."""
        if self.in_step:
            return
        self._in_step = True
        self._average_tables()
        for parameter in self.others:
            self._wire.all_reduce(parameter.data)
            parameter.data.div_(self._size)

    def state(self) -> dict[str, Tensor]:
        """State to resume from, by name; all workers must call this.

        PowerSGD has its error feedback (the mean over workers), post-local SGD its number of steps,
        and the other kinds nothing.
        """
        if self.kind.name == "local-sgd":
            return {"steps": torch.tensor(self._steps)}
        if self._powersgd is None:
            return {}
        errors = {}
        for index, error in sorted(self._powersgd.error_dict.items()):
            mean = error.detach().clone()
            dist.all_reduce(mean)
            errors[str(index)] = mean.div_(self._size)
        return errors

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore :meth:`state`, saved by any number of workers."""
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
        """The mean of a bucket of dense gradients; ready once :meth:`finish` was called."""
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
        future.wait()  # its messages depend on each other: no other may come in between
        self.traffic.seconds += time.perf_counter() - started
        if compressed:
            size = 4 * (powersgd.total_numel_after_compression - before)
        # One message with uncompressed tensors, then one for each of the two factors.
        self._wire.count_all_reduce(size, 3 if compressed else 1)
        return future

    def later(self, gradient: Tensor) -> Future[Tensor]:
        """The mean of a row-sparse gradient; ready once :meth:`finish` was called."""
        future: Future[Tensor] = Future()
        self._waiting.append((gradient.coalesce(), future))
        return future

    def finish(self, device: torch.device) -> None:
        """Send the rest of a step after its last bucket, and wait until everything has arrived."""
        rows = self._waiting[0][0].indices()[0] if self._waiting else None
        own = [0 if rows is None else len(rows), self.loss]
        lengths, losses = self._wire.tell(own, device)
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
        """Average the gradients of all tables in one message; rows differ between workers."""
        gradients, futures = zip(*self._waiting, strict=True)
        self._waiting.clear()
        assert all(len(gradient.indices()[0]) == len(rows) for gradient in gradients)
        values = side_by_side([gradient.values() for gradient in gradients])  # [L, W]
        half = HALF.get(self.kind.name, values.dtype)
        height = len(self.tables[0])
        # An all-gather sends the rows of N - 1 workers, an all-reduce 2 (N - 1) / N tables.
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
        """Sum rows sent as bytes: the row's number, then its values in all tables."""
        index = _index_type(self.tables[0])
        parts = as_bytes(rows.to(index)[:, None]), as_bytes(values)
        packed = torch.cat(self._wire.all_gather(torch.cat(parts, dim=1), lengths))
        numbers = packed[:, : index.itemsize].contiguous().view(index)[:, 0].long()
        gathered = packed[:, index.itemsize :].contiguous().view(values.dtype)
        gathered = gathered.to(torch.promote_types(values.dtype, torch.float32))
        size = (height, values.shape[1])
        total = torch.sparse_coo_tensor(numbers[None], gathered, size, check_invariants=False)
        total = total.coalesce()
        return total.indices()[0], total.values()

    def _reduce_rows(
        self, rows: Tensor, values: Tensor, lengths: list[int], height: int
    ) -> tuple[Tensor, Tensor]:
        """Sum whole tables, with an extra column that marks the rows any worker touched."""
        total = values.new_zeros(height, values.shape[1] + 1)
        touched = values.new_ones(len(rows), 1)
        total.index_copy_(0, rows, torch.cat([values, touched], dim=1))
        self._wire.all_reduce(total)
        summed = total[:, -1].nonzero()[:, 0]
        return summed, total[:, :-1].index_select(0, summed)


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
    """The smallest integer type that can number the table's rows."""
    return torch.int32 if table.shape[0] < 2**31 else torch.int64


def make_communication(
    comm: str | None,
    tables: Iterable[nn.Parameter],
    others: Iterable[nn.Parameter],
    traffic: Traffic | None = None,
) -> Communication:
    """Build the communication that the setting selects; null is ``sparse``."""
    return Communication(parse(comm or "sparse"), list(tables), list(others), traffic or Traffic())

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
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from metaselector.distributed import workers

WARM_UP = 10
"""Steps with exact gradients before PowerSGD or local steps begin."""


class Kind(NamedTuple):
    """What ``meta_train.comm`` names, and its number, if it has one."""

    name: str
    number: int = 0


def parse(comm: str) -> Kind:
    """Take apart a setting such as ``powersgd:2``."""
    name, _, number = comm.partition(":")
    return Kind(name, int(number or 0))


@dataclass
class Traffic:
    """What this worker has sent.

    Attributes:
        sent: bytes of tensors, as the collectives' algorithms need at least: an all-reduce of n
            bytes by N workers sends ``2 (N - 1) / N n``, an all-gather ``(N - 1) n``.
        seconds: in which this worker waited for a collective of its own.
        steps: of training.
    """

    sent: float = 0.0
    seconds: float = 0.0
    steps: int = 0


@dataclass
class Communication:
    """Averages gradients, or parameters.

    Args:
        kind: as the setting names it.
        tables: parameters with row-sparse gradients.
        others: all others that are trained.
    """

    kind: Kind
    tables: list[nn.Parameter]
    others: list[nn.Parameter]
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        self._size, self._powersgd, self._steps = workers.count(), None, 0
        self._group: Any = dist.group.WORLD
        self._touched: dict[int, list[Tensor]] = {}
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
        return not self._touched

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
            for table in self.tables:
                if table.grad is not None:
                    rows = table.grad.coalesce().indices()[0]
                    self._touched.setdefault(id(table), []).append(rows)
            # torch's averager sends whole tables, so that it gets the others alone.
            due = (self._averager.step - WARM_UP) % self.kind.number == 0
            if due:
                self._average_tables()
                self._count_all_reduce(sum(_bytes(p) for p in self.others))
        started = time.perf_counter()
        self._averager.average_parameters(iter(self.others))
        self.traffic.seconds += time.perf_counter() - started

    @torch.no_grad()
    def settle(self) -> None:
        """Average parameters now, so that all workers have the same."""
        if self.in_step:
            return
        self._average_tables()
        for parameter in self.others:
            self._all_reduce(parameter.data)
            parameter.data.div_(self._size)

    def state(self) -> dict[str, Tensor]:
        """What PowerSGD owes: the mean over workers of its errors; empty for all others.

        All workers must call this.
        """
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
        if self._powersgd is not None and state:
            self._powersgd.error_dict.update({int(i): error.clone() for i, error in state.items()})
            self._powersgd.iter = WARM_UP

    @torch.no_grad()
    def _average_tables(self) -> None:
        for table in self.tables:
            touched = self._touched.get(id(table), [table.new_zeros(0, dtype=torch.int64)])
            own = torch.cat(touched).unique()
            rows = torch.cat(self._all_gather(own.to(_index_type(table)))).long().unique()
            values = table.data.index_select(0, rows)
            self._all_reduce(values)
            table.data.index_copy_(0, rows, values.div_(self._size))
        self._touched.clear()

    def average(self, bucket: Any) -> Future[Tensor]:
        """The mean of a bucket of dense gradients."""
        size, name = _bytes(bucket.buffer()), self.kind.name
        if self._powersgd is not None:
            before = self._powersgd.total_numel_after_compression
            compressed = self._powersgd.iter >= WARM_UP
            future: Future[Tensor] = powerSGD_hook.powerSGD_hook(self._powersgd, bucket)
            if compressed:
                size = 4 * (self._powersgd.total_numel_after_compression - before)
            self._count_all_reduce(size)
            return future
        if name == "fp16":
            self._count_all_reduce(size / 2)
            return default_hooks.fp16_compress_hook(self._group, bucket)
        if name == "bf16":  # torch's own hook refuses gloo
            rounded = bucket.buffer().to(torch.bfloat16).div_(self._size)
            self._all_reduce(rounded)
            return _done(bucket.buffer().copy_(rounded))
        self._count_all_reduce(size)
        return default_hooks.allreduce_hook(self._group, bucket)

    def exchange_rows(self, gradient: Tensor) -> Future[Tensor]:
        """The mean of row-sparse gradients, which touch different rows on every worker."""
        gradient = gradient.coalesce()
        values = gradient.values()
        half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(self.kind.name)
        travelling = values if half is None else values.to(half)
        rows = torch.cat(self._all_gather(gradient.indices()[0].to(_index_type(gradient))))
        found = torch.cat(self._all_gather(travelling)).to(values.dtype)
        total = torch.sparse_coo_tensor(
            rows.long()[None], found.div_(self._size), gradient.shape, check_invariants=False
        )
        return _done(total.coalesce())

    def _all_gather(self, own: Tensor) -> list[Tensor]:
        """All workers' tensors, which differ in length."""
        started = time.perf_counter()
        length = torch.tensor([len(own)], device=own.device)
        lengths = [torch.zeros_like(length) for _ in range(self._size)]
        dist.all_gather(lengths, length)
        longest = int(max(lengths))
        padded = own.new_zeros(longest, *own.shape[1:])
        padded[: len(own)] = own
        found = [torch.empty_like(padded) for _ in range(self._size)]
        dist.all_gather(found, padded)
        self.traffic.seconds += time.perf_counter() - started
        self.traffic.sent += (self._size - 1) * (_bytes(padded) + 8)
        return [part[: int(n)] for part, n in zip(found, lengths, strict=True)]

    def _all_reduce(self, tensor: Tensor) -> None:
        started = time.perf_counter()
        dist.all_reduce(tensor)
        self.traffic.seconds += time.perf_counter() - started
        self._count_all_reduce(_bytes(tensor))

    def _count_all_reduce(self, size: float) -> None:
        self.traffic.sent += 2 * (self._size - 1) / self._size * size


def _hook(
    state: Any,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> Future[Tensor]:
    if bucket.buffer().is_sparse:
        return state.exchange_rows(bucket.buffer())
    return state.average(bucket)


def _done(tensor: Tensor) -> Future[Tensor]:
    future: Future[Tensor] = Future()
    future.set_result(tensor)
    return future


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


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

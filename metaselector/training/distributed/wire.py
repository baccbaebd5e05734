"""Collectives of :mod:`torch.distributed`, with counts of what they send."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

AWAKE = 0.02
"""Seconds that a worker polls for a message before it sleeps.

If each worker has its own processor, sleeping costs more than it saves: code after a sleep runs
slower, so a few short sleeps delay a step by more than their own time (seen in a virtual machine).
"""

_give_way = getattr(os, "sched_yield", lambda: None)
"""Yield the processor to other threads."""


@dataclass
class Traffic:
    """What this worker has sent.

    Attributes:
        sent: minimum bytes that the collectives need: an all-reduce of n bytes by N workers sends
            ``2 (N - 1) / N n``, an all-gather ``(N - 1) n``.
        gathered: bytes of this worker's own tensors in all-gathers.
        all_reduces, all_gathers: number of collectives.
        seconds: time this worker waited for collectives.
        steps: training steps.
    """

    sent: float = 0.0
    gathered: float = 0.0
    all_reduces: int = 0
    all_gathers: int = 0
    seconds: float = 0.0
    steps: int = 0


@dataclass
class Wire:
    """Sends and receives tensors, and counts the traffic.

    Args:
        traffic: the counts to update.
        size: number of workers.
    """

    traffic: Traffic
    size: int

    def lengths(self, own: Tensor) -> list[int]:
        """Number of rows on each worker."""
        length = torch.tensor([len(own)], device=own.device)
        return [int(n) for n in self.all_gather(length, [1] * self.size)]

    def tell(self, own: list[float], device: torch.device) -> list[list[float]]:
        """Exchange numbers; returns a list per number with the values of all workers."""
        numbers = torch.tensor([own], dtype=torch.float64, device=device)
        return torch.cat(self.all_gather(numbers, [1] * self.size)).T.tolist()

    def all_gather(self, own: Tensor, lengths: list[int]) -> list[Tensor]:
        """All workers' tensors, which may differ in length."""
        started = time.perf_counter()
        padded = own.new_zeros(max(lengths), *own.shape[1:])
        padded[: len(own)] = own
        gathered = [torch.empty_like(padded) for _ in lengths]
        arrive(dist.all_gather(gathered, padded, async_op=True), padded)
        self.traffic.seconds += time.perf_counter() - started
        self.traffic.gathered += size_of(padded)
        self.traffic.sent += (self.size - 1) * size_of(padded)
        self.traffic.all_gathers += 1
        return [part[:n] for part, n in zip(gathered, lengths, strict=True)]

    def all_reduce(self, tensor: Tensor) -> None:
        """Sum over all workers, in place."""
        started = time.perf_counter()
        arrive(dist.all_reduce(tensor, async_op=True), tensor)
        self.traffic.seconds += time.perf_counter() - started
        self.count_all_reduce(size_of(tensor))

    def count_all_reduce(self, size: float, times: int = 1) -> None:
        """Count all-reduces by torch itself, of `size` bytes in all."""
        self.traffic.all_reduces += times
        self.traffic.sent += 2 * (self.size - 1) / self.size * size


def arrive(work: Any, tensor: Tensor) -> None:
    """Wait for a collective on `tensor`; see :data:`AWAKE`."""
    if tensor.is_cpu:  # on a GPU, the device waits
        until = time.perf_counter() + AWAKE
        while not work.is_completed() and time.perf_counter() < until:
            _give_way()
    work.wait()


def size_of(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors ``[L, ...]`` to one ``[L, W]``."""
    return torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)


def apart(together: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Inverse of :func:`side_by_side`, with rows shaped like those of `like`."""
    widths = [math.prod(part.shape[1:]) for part in like]
    split = together.split(widths, dim=1)
    return [
        part.reshape(len(part), *of.shape[1:]).contiguous()
        for part, of in zip(split, like, strict=True)
    ]


def as_bytes(rows: Tensor) -> Tensor:
    """``[L, W]`` as uint8 ``[L, W * itemsize]``."""
    return rows.contiguous().view(torch.uint8)

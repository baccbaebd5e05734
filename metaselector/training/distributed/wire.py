"""Collectives of :mod:`torch.distributed`, and what they send."""

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
"""Seconds in which a worker looks for a message again and again, before it sleeps until it comes.

Where each worker has a processor of its own, sleep costs more than it saves: a step with a few
short sleeps takes longer by more than these, since all that comes after runs slower (in a virtual
machine).
"""

_give_way = getattr(os, "sched_yield", lambda: None)
"""Let others run who have work to do, if there are any."""


@dataclass
class Traffic:
    """What this worker has sent.

    Attributes:
        sent: bytes of tensors, as the collectives' algorithms need at least: an all-reduce of n
            bytes by N workers sends ``2 (N - 1) / N n``, an all-gather ``(N - 1) n``.
        gathered: bytes of this worker's own tensors in all-gathers.
        all_reduces, all_gathers: how many.
        seconds: in which this worker waited for a collective of its own.
        steps: of training.
    """

    sent: float = 0.0
    gathered: float = 0.0
    all_reduces: int = 0
    all_gathers: int = 0
    seconds: float = 0.0
    steps: int = 0


@dataclass
class Wire:
    """What this worker sends and receives.

    Args:
        traffic: to which it is added.
        size: how many workers there are.
    """

    traffic: Traffic
    size: int

    def lengths(self, own: Tensor) -> list[int]:
        """How many rows each worker has."""
        length = torch.tensor([len(own)], device=own.device)
        return [int(n) for n in self.all_gather(length, [1] * self.size)]

    def tell(self, own: list[float], device: torch.device) -> list[list[float]]:
        """All workers' numbers, by number."""
        told = torch.tensor([own], dtype=torch.float64, device=device)
        return torch.cat(self.all_gather(told, [1] * self.size)).T.tolist()

    def all_gather(self, own: Tensor, lengths: list[int]) -> list[Tensor]:
        """All workers' tensors, which differ in length."""
        started = time.perf_counter()
        padded = own.new_zeros(max(lengths), *own.shape[1:])
        padded[: len(own)] = own
        found = [torch.empty_like(padded) for _ in lengths]
        arrive(dist.all_gather(found, padded, async_op=True), padded)
        self.traffic.seconds += time.perf_counter() - started
        self.traffic.gathered += size_of(padded)
        self.traffic.sent += (self.size - 1) * size_of(padded)
        self.traffic.all_gathers += 1
        return [part[:n] for part, n in zip(found, lengths, strict=True)]

    def all_reduce(self, tensor: Tensor) -> None:
        """Sum over all workers, in place."""
        started = time.perf_counter()
        arrive(dist.all_reduce(tensor, async_op=True), tensor)
        self.traffic.seconds += time.perf_counter() - started
        self.count_all_reduce(size_of(tensor))

    def count_all_reduce(self, size: float, times: int = 1) -> None:
        """Take down all-reduces of `size` bytes together that torch does."""
        self.traffic.all_reduces += times
        self.traffic.sent += 2 * (self.size - 1) / self.size * size


def arrive(work: Any, tensor: Tensor) -> None:
    """Wait for a collective on `tensor`; see :data:`AWAKE`."""
    if tensor.is_cpu:  # elsewhere, the device is what waits
        until = time.perf_counter() + AWAKE
        while not work.is_completed() and time.perf_counter() < until:
            _give_way()
    work.wait()


def size_of(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """``[L, ...]`` each, as one ``[L, W]``."""
    return torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)


def apart(together: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of :func:`side_by_side`: as many rows, each of the shapes of `like`."""
    widths = [math.prod(part.shape[1:]) for part in like]
    split = together.split(widths, dim=1)
    return [
        part.reshape(len(part), *of.shape[1:]).contiguous()
        for part, of in zip(split, like, strict=True)
    ]


def as_bytes(rows: Tensor) -> Tensor:
    """``[L, W]`` as uint8 ``[L, W * itemsize]``."""
    return rows.contiguous().view(torch.uint8)

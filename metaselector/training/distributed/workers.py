"""Which of several processes this is, and what they agree on; alone, nothing is sent.

Every worker holds the same data and the same parameters and draws the same random numbers, so that
all of them know what the others do. Only :func:`is_main` writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from metaselector.training.distributed.launch import launched

Number = TypeVar("Number", bound=np.floating[Any])

TIMEOUT = timedelta(hours=3)
"""Until a worker that waits for another gives up; the first one may prepare data for long."""


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Meet the other workers that torchrun has started, if it has: gloo on a CPU, NCCL on GPUs."""
    if not launched() or dist.is_initialized():
        yield
        return
    backend = "gloo"
    if torch.device(device).type == "cuda":
        backend = "nccl"  # which wants a GPU for each worker
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many workers there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which one this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the worker that writes files and talks to the user."""
    return rank() == 0


def share(n: int) -> slice:
    """This worker's part of `n` things in order; parts differ in size by one at most."""
    edges = np.linspace(0, n, count() + 1).round().astype(int)
    return slice(int(edges[rank()]), int(edges[rank() + 1]))


def wait() -> None:
    """Wait until all workers are here."""
    if dist.is_initialized():
        dist.barrier()


def summed(values: NDArray[Number]) -> NDArray[Number]:
    """The sum over all workers, the same on each."""
    if not dist.is_initialized():
        return values
    tensor = torch.from_numpy(np.array(values)).to(device())
    dist.all_reduce(tensor)
    found: NDArray[Number] = tensor.cpu().numpy()
    return found


def mean(value: float) -> float:
    """The mean over all workers."""
    return float(summed(np.array([value]))[0]) / count()


def most(*values: int) -> tuple[int, ...]:
    """The largest of each over all workers."""
    if not dist.is_initialized():
        return values
    tensor = torch.tensor(values, device=device())
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tuple(int(value) for value in tensor.tolist())


def device() -> torch.device:
    """Where collectives want their tensors."""
    nccl = dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")

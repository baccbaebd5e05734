"""Rank of this worker process, and simple collectives; a single process sends nothing.

Every worker holds the same data and parameters and draws the same random numbers, so each knows
what the others do. Only the worker for which :func:`is_main` holds writes files.
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
"""How long a worker waits for another; preparing data on the first one may take long."""


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the other workers, if torchrun started any: gloo on a CPU, NCCL on GPUs."""
    if not launched() or dist.is_initialized():
        yield
        return
    backend = "gloo"
    if torch.device(device).type == "cuda":
        backend = "nccl"  # needs a GPU for each worker
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """Number of workers."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Rank of this worker, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this worker writes files and prints messages."""
    return rank() == 0


def share(n: int) -> slice:
    """This worker's slice of `n` items; slices differ in size by at most one."""
    edges = np.linspace(0, n, count() + 1).round().astype(int)
    return slice(int(edges[rank()]), int(edges[rank() + 1]))


def left_over(n: int) -> bool:
    """Whether others have one item more than this worker, if `n` items are dealt out in turn."""
    over = n % count()
    return 0 < over <= rank()


def wait() -> None:
    """Wait for all workers."""
    if dist.is_initialized():
        dist.barrier()


def summed(values: NDArray[Number]) -> NDArray[Number]:
    """Sum over all workers, equal on each."""
    if not dist.is_initialized():
        return values
    tensor = torch.from_numpy(np.array(values)).to(device())
    dist.all_reduce(tensor)
    total: NDArray[Number] = tensor.cpu().numpy()
    return total


def mean(value: float) -> float:
    """Mean over all workers."""
    return float(summed(np.array([value]))[0]) / count()


def most(*values: int) -> tuple[int, ...]:
    """Maximum of each value over all workers."""
    if not dist.is_initialized():
        return values
    tensor = torch.tensor(values, device=device())
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tuple(int(value) for value in tensor.tolist())


def device() -> torch.device:
    """Device on which collectives need their tensors."""
    nccl = dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")

"""What `test_side_by_side.py` has other processes do; they import it as `side_functions`."""

from __future__ import annotations

import os
import signal

import torch

from metaselector.common.errors import UserError
from metaselector.runs.run import Run


def described(run: Run, seed: int) -> tuple[int, int, int]:
    return seed, torch.get_num_threads(), len(run.dataset)


def mistaken(run: Run, seed: int) -> None:
    raise UserError(f"seed {seed} is no good")


def killed(run: Run, seed: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)

"""Start workers with PyTorch's torchrun, which restarts them when one fails."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

RESTARTS = 3
"""Most restarts of all workers after one has failed."""

OWN_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
"""torchrun's environment variable; set it too if you call torchrun with restarts yourself."""

CODE = "METASELECTOR_EXIT_CODE"
"""Environment variable with the path of a file that holds the exit code of a completed command.

torchrun restarts workers on every exit code but 0. A user's mistake and Ctrl-C are no reason to
restart, so workers write their code to this file and exit with 0.
"""


def launch(arguments: Sequence[str], number: int) -> int:
    """Run ``metaselector`` with `arguments` on `number` local workers; returns the exit code."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
        code = Path(folder) / "code"
        os.environ[CODE] = str(code)
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        # A shared store still lists the addresses of workers that have exited, and gloo fails to
        # connect to them. This setting gives every start its own store.
        os.environ[OWN_STORE] = "1"
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=number,
            run_id=code.parent.name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=RESTARTS,
        )
        try:
            elastic_launch(config, sys.executable)("-m", "metaselector", *arguments)
        except SignalException as error:
            return 128 + int(error.sigval)
        except ChildFailedError as error:
            print(error, file=sys.stderr)  # several lines: which process failed, and how
            return 1
        return int(code.read_text()) if code.exists() else 0


def end(code: int) -> int:
    """The code for a worker to exit with if its command completed with `code`."""
    file = os.environ.get(CODE)
    if not launched() or file is None:
        return code
    Path(file).write_text(str(code))
    return 0


def ended() -> bool:
    """Whether the command is already complete, so that a restarted worker has nothing to do."""
    file = os.environ.get(CODE)
    return restarted() and file is not None and Path(file).exists()


def launched() -> bool:
    """Whether torchrun has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    """This process's number among those that torchrun has started; 0 if it has started none."""
    return int(os.environ.get("RANK", "0"))


def restarted() -> bool:
    """Whether torchrun has restarted the workers after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0

"""Starting the workers: PyTorch's torchrun does it, and starts them anew when one fails."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

RESTARTS = 3
"""Times that all workers are started anew because one has failed."""

OWN_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
"""torchrun's own environment variable; who calls torchrun with restarts by hand sets it too."""

CODE = "METASELECTOR_EXIT_CODE"
"""Environment variable with a file for the exit code of a command that has ended as it should.

torchrun takes every other code than 0 for a failure that another start may mend. A user's mistake
is none, and neither is Ctrl-C.
"""


def launch(arguments: Sequence[str], number: int) -> int:
    """Run ``metaselector`` with `arguments` on `number` workers of this machine; its exit code."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
        code = Path(folder) / "code"
        os.environ[CODE] = str(code)
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        # The store of the start before still has the addresses of workers that are gone: gloo then
        # waits for nobody, and is refused. This gives every start a store of its own.
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
            print(error, file=sys.stderr)  # several lines, of which process failed and how
            return 1
        return int(code.read_text()) if code.exists() else 0


def end(code: int) -> int:
    """The code that a worker exits with where the command ends with `code`, which is no failure."""
    file = os.environ.get(CODE)
    if not launched() or file is None:
        return code
    Path(file).write_text(str(code))
    return 0


def ended() -> bool:
    """Whether the command has ended already, so that a worker that is started anew has no work."""
    file = os.environ.get(CODE)
    return restarted() and file is not None and Path(file).exists()


def launched() -> bool:
    """Whether torchrun has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    """This process's number among those that torchrun has started; 0 if it has started none."""
    return int(os.environ.get("RANK", "0"))


def restarted() -> bool:
    """Whether torchrun has started the workers anew, because one of them failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0

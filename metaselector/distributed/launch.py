"""Starting the workers: PyTorch's torchrun does it, and starts them anew when one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from metaselector.distributed.torchrun import launched, restarted

RESTARTS = 3
"""Times that all workers are started anew because one has failed."""

CODE = "METASELECTOR_EXIT_CODE"
"""Environment variable with a file for the exit code of a command that has ended as it should.

torchrun takes every other code than 0 for a failure that another start may mend. A user's mistake
is none, and neither is Ctrl-C.
"""


def launch(arguments: Sequence[str], number: int) -> int:
    """Run ``metaselector`` with `arguments` on `number` workers of this machine; its exit code."""
    with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
        code = Path(folder) / "code"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(number), "--max-restarts", str(RESTARTS)]
        command += ["-m", "--", "metaselector", *arguments]
        environment = {"OMP_NUM_THREADS": "1", **os.environ, CODE: str(code)}
        received: list[int] = []
        # In a session of its own, so that Ctrl-C reaches it once, from here.
        with subprocess.Popen(command, env=environment, start_new_session=True) as torchrun:

            def forward(number: int, frame: FrameType | None) -> None:
                received.append(number)
                torchrun.send_signal(number)

            before = {n: signal.signal(n, forward) for n in (signal.SIGINT, signal.SIGTERM)}
            try:
                returned = torchrun.wait()
            finally:
                for signal_number, handler in before.items():
                    signal.signal(signal_number, handler)
        if received:  # torchrun ends its workers with SIGTERM, whatever came
            return 128 + received[0]
        return int(code.read_text()) if code.exists() else returned


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

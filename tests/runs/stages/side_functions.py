"""What `test_side_by_side.py` has other processes do; they import it as `side_functions`."""

from __future__ import annotations

import os
import signal
import time

import torch

from metaselector.common.errors import UserError
from metaselector.common.progress import Progress
from metaselector.runs.run import Run
from metaselector.runs.stages.parts import Part


class Described(Part):
    def do(self, run: Run, progress: Progress) -> tuple[int, int, int]:
        return self.seed, torch.get_num_threads(), len(run.dataset)


class Mistaken(Part):
    def do(self, run: Run, progress: Progress) -> None:
        raise UserError(f"seed {self.seed} is no good")


class Killed(Part):
    def do(self, run: Run, progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Stopped(Part):
    """Is busy until the main process says stop, and leaves a file that says that it was told."""

    def do(self, run: Run, progress: Progress) -> None:
        (run.directory / f"begun-{self.seed}").touch()
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            time.sleep(1)  # saves something
            (run.directory / f"saved-{self.seed}").touch()
            raise


class Mistake(Part):
    """Ends with a mistake when both others are busy."""

    def do(self, run: Run, progress: Progress) -> None:
        deadline = time.monotonic() + 60
        while not (run.directory / "begun-0").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        raise UserError("no good")

"""Trains the run in a directory in a process of its own, which is killed again and again.

``python killed.py RUN KILLS SECONDS``: a process lives for SECONDS at most, and less at random. The
processes are forked, so that torch is imported once. A run that is done before it was killed often
enough, or before half as many trainings went on in their middle, is trained anew.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.runs.run import Run
from metaselector.runs.session import session
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models


def train(directory: Path) -> None:
    run = Run(directory, load_config(directory / "config.yaml"))
    with session(run, Silent()) as progress:
        pretrain_base_models(run, progress)
        meta_train_selectors(run, progress, ("sample-selector", "metaselector"))


def main(directory: Path, kills: int, seconds: float) -> None:
    torch.set_num_threads(1)
    # The first optimizer makes torch import much more: here, and not in every process anew.
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    moments, killed, done = random.Random(0), 0, False
    while killed < kills or not done or _resumed(directory) < kills // 2:
        if done:
            shutil.rmtree(directory / "checkpoints")
        child = os.fork()
        if not child:
            status = 1
            try:
                train(directory)
                status = 0
            finally:
                os._exit(status)
        if killed < kills or _resumed(directory) < kills // 2:
            time.sleep(moments.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        done = not os.WIFSIGNALED(status)
        killed += not done
        if done and os.WEXITSTATUS(status):
            sys.exit("a training failed")


def _resumed(directory: Path) -> int:
    """How often a training went on in its middle."""
    log = directory / "logs" / "training.jsonl"
    return log.read_text().count('"event": "resumed"') if log.exists() else 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

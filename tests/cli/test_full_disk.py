"""A full disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from .conftest import Done, contents

# torch 2.5 writes a file when this part of it is imported.
LIMITED = (
    "import resource, sys, torch.distributed.nn;"
    "resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
    "from metaselector.cli import main; main()"
)


def invoke_limited(limit: int, *arguments: object) -> Done:
    """Run the command line where no file may grow beyond `limit` bytes."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(limit=limit), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_full_disk_while_preparing(raw: Path, settings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = invoke_limited(
        4096, "data", "prepare", "--run", run, "--data", raw, "--config", settings
    )
    assert done.lone_error.startswith(f"{run / 'data'}: cannot be written (")
    assert not run.exists()


def test_full_disk_while_training(prepared: Path) -> None:
    before = contents(prepared)
    done = invoke_limited(512, "pretrain", "--run", prepared)
    path = prepared / "checkpoints" / "seed-0" / "base-lr-early.safetensors"
    assert done.error.startswith(f"{path}: cannot be written (")
    shutil.rmtree(prepared / "logs")
    (prepared / "stages.csv").unlink()  # the training took place, and only saving it failed
    assert contents(prepared) == before

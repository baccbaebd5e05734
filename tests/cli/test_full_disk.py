"""A full disk, and output that cannot be written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Done, Invoke, contents

LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
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
    assert contents(prepared) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_output(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        done = invoke("config")
    assert done.lone_error == (
        "standard output: cannot be written (No space left on device); the command's output "
        "files are complete"
    )


def test_closed_output(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert invoke("config").lone_error.startswith("standard output is closed; write to a file")


def test_an_option_that_steers_the_terminal(invoke: Invoke) -> None:
    done = invoke("config", "--set\x1b[2J")
    assert done.code == 2
    assert "\x1b" not in done.err

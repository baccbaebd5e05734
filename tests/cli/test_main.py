"""What ``main`` does with errors: one line for the user's, a traceback for ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from metaselector.cli import main

from .conftest import Invoke


def test_memory_that_runs_out(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*arguments: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr("metaselector.config.load_config", exhausted)
    assert invoke("config").lone_error.startswith(
        "not enough memory (Unable to allocate 3 TiB); reduce a batch size"
    )


def test_a_defect_of_ours_is_a_traceback(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("metaselector.config.load_config", broken)
    monkeypatch.setattr(sys, "argv", ["metaselector", "config"])
    with pytest.raises(RuntimeError, match="no"):
        main()


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


def test_idle_threads_leave_the_cores_to_others_unless_told(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given, expected in (("", "passive"), ("active", "active")):
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
        if not given:
            monkeypatch.delenv("OMP_WAIT_POLICY")
        assert invoke("config").code == 0
        assert os.environ["OMP_WAIT_POLICY"] == expected

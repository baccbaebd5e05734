"""What a command costs, and what it holds together with the processes that it starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import measure, watch
from metaselector.common.errors import UserError

MB = 100
"""What each process holds."""
HOLD = f"import subprocess, sys, time; held = b'1' * {MB}_000_000; "

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, which Linux has")


def _start(text: str) -> str:
    return f"subprocess.run([sys.executable, '-I', '-S', '-c', {text!r}]); "


def _peak(text: str) -> float:
    return measure.cost([sys.executable, "-I", "-S", "-c", text]).peak_mb


@linux
def test_memory_of_processes_counts_together() -> None:
    child = HOLD + "time.sleep(2.5)"
    assert _peak(HOLD + _start(HOLD + _start(child))) > 3 * MB
    assert MB < _peak("import subprocess, sys; " + _start(child) + HOLD) < 2 * MB  # not at once


@linux
def test_a_process_that_is_gone_holds_nothing() -> None:
    gone = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    assert watch.held(gone) == 0
    assert [*watch.descendants(gone)] == []


def test_a_command_that_fails_tells_why() -> None:
    with pytest.raises(UserError, match="no luck"):
        _peak("raise SystemExit('no luck')")

"""Runs a command and prints its seconds, its peak memory and its exit code.

A process's peak counts what it held before it became the command, which is a copy of its parent.
This parent imports next to nothing, so that what is counted is the command's own. Memory of
processes that the command starts does not add up: the largest counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time


def main(command: list[str]) -> None:
    """Print ``seconds kilobytes exit_code`` of `command`; what it prints is discarded."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes
    print(seconds, usage.ru_maxrss // unit, process.returncode)


if __name__ == "__main__":
    main(sys.argv[1:])

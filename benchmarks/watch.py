"""Run a command and print its seconds, its peak memory, its exit code and its processor seconds.

The peak of a process includes what it held before it became the command, a copy of its parent. This
parent imports almost nothing, so the peak is the command's own. If the command starts processes,
the largest peak counts, not the sum.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time


def main(command: list[str]) -> None:
    """Print ``seconds kilobytes exit_code cpu_seconds`` of `command`; its output is discarded."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes
    cpu_seconds = usage.ru_utime + usage.ru_stime
    print(seconds, usage.ru_maxrss // unit, process.returncode, cpu_seconds)


if __name__ == "__main__":
    main(sys.argv[1:])

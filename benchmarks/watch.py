"""Run a command and print its seconds, its peak memory, its exit code and its processor seconds.

The peak of a process includes what it held before it became the command, a copy of its parent. This
parent imports almost nothing, so the peak is the command's own.

If the command starts processes, their memory counts together, looked at once a second; what they
share, such as the pages of a mapped file, counts once. That needs Linux. Elsewhere, the largest
peak of one process counts, which it does anyway if it is higher.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

EVERY = 1.0
"""Seconds between two looks."""


def main(command: list[str]) -> None:
    """Print ``seconds kilobytes exit_code cpu_seconds`` of `command`; its output is discarded."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    ended, peaks = threading.Event(), [0]
    looking = threading.Thread(target=_look, args=(process.pid, ended, peaks))
    looking.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    ended.set()
    looking.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes
    cpu_seconds = usage.ru_utime + usage.ru_stime
    print(seconds, max(usage.ru_maxrss // unit, *peaks), process.returncode, cpu_seconds)


def _look(pid: int, ended: threading.Event, peaks: list[int]) -> None:
    """Append what a process and its descendants hold together, until it has ended."""
    while not ended.wait(EVERY):
        family = [pid, *descendants(pid)]
        if len(family) > 1:  # the peak of one is known exactly
            peaks.append(sum(map(held, family)))


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process started, and those that they did; needs Linux."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text(encoding="ascii").split()
        except OSError:  # the thread has ended
            continue
        for child in map(int, found):
            yield child
            yield from descendants(child)


def held(pid: int) -> int:
    """Kilobytes in memory of a process; of a page that n processes share, an n-th counts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main(sys.argv[1:])

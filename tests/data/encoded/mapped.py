"""How much of a folder's files this process has mapped into memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

linux_tells = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")


def mapped_megabytes(folder: Path) -> float:
    """Of these files alone, because libraries map more of their own code while tests run."""
    kilobytes, inside = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        first, *rest = line.split(maxsplit=5)
        if not first.endswith(":"):  # a mapping: addresses, rights, offset, device, inode, path
            inside = len(rest) == 5 and Path(rest[4]).is_relative_to(folder.resolve())
        elif first == "Rss:" and inside:
            kilobytes += int(rest[0])
    return kilobytes / 1024

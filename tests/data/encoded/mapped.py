"""How much of files this process has mapped into memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

linux_tells = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")


def mapped_megabytes() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssFile:"))) / 1024

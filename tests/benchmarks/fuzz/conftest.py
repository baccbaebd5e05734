"""The world that all tests of the fuzzer share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.fuzz import world as worlds

sys.path.insert(0, str(Path(__file__).parent))  # for `planted`, which child processes import too


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.build(tmp_path_factory.mktemp("world"))

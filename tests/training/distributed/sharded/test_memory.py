"""A table that no process may hold is trained by several, under a limit of the kernel's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from metaselector.data.planted import planted_world
from tests.training.distributed.sharded.memory_checks import FILE, ITEMS, SIZE

WORKERS = 6
CHECKS = Path(__file__).with_name("memory_checks.py")
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


def under_limit(folder: Path, *launcher: str) -> list[dict[str, Any]]:
    """What became of each process."""
    paths = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, *launcher, str(CHECKS), str(folder)],
        check=False,
        timeout=300,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


@needs_proc
def test_one_process_cannot_hold_the_table(tmp_path: Path) -> None:
    (found,) = under_limit(tmp_path)
    assert "allocate memory" in found["problem"]
    with safe_open(tmp_path / FILE, framework="pt") as file:  # what it trained before
        assert file.get_slice("embedding.weight").get_shape()[0] < ITEMS


@needs_proc
@pytest.mark.slow
def test_several_train_it(tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={WORKERS}")
    found = under_limit(tmp_path, *launcher)
    assert [each["problem"] for each in found] == [None] * WORKERS
    dataset = planted_world(4, 20, ITEMS, np.random.default_rng(0)).dataset
    seen = np.unique(dataset.batch(np.arange(len(dataset))).ids.numpy())
    with safe_open(tmp_path / FILE, framework="pt") as file:
        losses = json.loads(file.metadata()["record"])["losses"]
        table = file.get_slice("embedding.weight")
        assert table.get_shape() == [dataset.schema.num_ids, SIZE]
        assert dataset.schema.num_ids > ITEMS
        linear = file.get_tensor("linear.weight")[:, 0]
    assert losses[1] < losses[0]
    assert set(linear.nonzero().flatten().tolist()) == set(seen.tolist())  # 0 in the beginning

"""Tables sharded over real processes, of which the checks are in sharded_checks.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKERS = 3
SECONDS = 60
CHECKS = Path(__file__).with_name("sharded_checks.py")
ROOT = Path(__file__).parents[2]
NAMES = [
    "blocks_are_those_of_dtensor",
    "rows_come_and_gradients_return",
    "gradients_are_those_of_whole_tables",
    "frozen_tables_are_read_alone",
    "training_is_that_of_one_process",
    "tables_may_be_too_large_to_be_whole",
    "a_table_with_two_names_stays_one",
    "an_unknown_id_is_refused",
    "dense_gradients_are_averaged",
    "checkpoints_are_those_of_one_process",
    "a_mesh_of_two_dimensions_is_refused",
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str | None]]:
    """By worker, what became of the checks. All processes start once: each imports torch."""
    folder = tmp_path_factory.mktemp("workers")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", str(CHECKS)]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(WORKERS), str(folder)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(WORKERS)
    ]
    try:
        said = [process.communicate(timeout=SECONDS)[1] for process in running]
    except subprocess.TimeoutExpired:
        said = [f"not done after {SECONDS} seconds"]
    finally:
        for process in running:
            process.kill()
            process.wait()
    files = [folder / f"{rank}.json" for rank in range(WORKERS)]
    assert all(file.exists() for file in files), "\n".join(said)
    results = [json.loads(file.read_text()) for file in files]
    results[0]["ended"] = None if not any(p.returncode for p in running) else "\n".join(said)
    return results


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_check(name: str, workers: int, found: list[dict[str, str | None]]) -> None:
    for rank in range(workers):
        problem = found[rank].get(f"{name} on {workers}", "was not reached")
        assert problem is None, f"worker {rank}: {problem}"


def test_nothing_was_left_out(found: list[dict[str, str | None]]) -> None:
    assert found[0]["ended"] is None, found[0]["ended"]
    assert {name.split(" on ")[0] for name in found[1]} == set(NAMES)

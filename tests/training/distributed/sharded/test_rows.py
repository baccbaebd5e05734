"""Tables sharded over real processes, of which the checks are in sharded_checks.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

WORKERS = 3
SECONDS = 120
CHECKS = Path(__file__).with_name("sharded_checks.py")
ROOT = Path(__file__).parents[4]
NAMES = [
    "blocks_are_those_of_dtensor",
    "rows_come_and_gradients_return",
    "gradients_are_those_of_whole_tables",
    "predictions_are_those_of_whole_tables",
    "frozen_tables_are_read_alone",
    "training_is_that_of_one_process",
    "tables_may_be_too_large_to_be_whole",
    "a_table_with_two_names_stays_one",
    "an_unknown_id_is_refused",
    "dense_gradients_are_averaged",
    "checkpoints_are_those_of_one_process",
    "a_mesh_of_two_dimensions_is_refused",
    "initial_values_are_those_of_whole_tables",
    "initial_values_can_be_left_out",
    "what_needs_whole_tables_is_refused",
    "files_are_read_by_rows",
    "steps_of_dense_adam_are_those_of_one_process",
    "padding_needs_no_exchange",
    "extremes_are_those_of_the_whole_table",
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str | None]]:
    """By worker, what became of the checks."""
    folder = tmp_path_factory.mktemp("workers")
    command = [sys.executable, "-W", "error", str(CHECKS), str(WORKERS), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _, said = running.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        said = f"not done after {SECONDS} seconds"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)  # the workers, too
        running.wait()
    files = [folder / f"{rank}.json" for rank in range(WORKERS)]
    assert all(file.exists() for file in files), said
    results: list[dict[str, str | None]] = [json.loads(file.read_text()) for file in files]
    results[0]["the end"] = said if running.returncode else None
    return results


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_check(name: str, workers: int, found: list[dict[str, str | None]]) -> None:
    for rank in range(workers):
        problem = found[rank].get(f"{name} on {workers}", "was not reached")
        assert problem is None, f"worker {rank}: {problem}"


def test_nothing_was_left_out(found: list[dict[str, str | None]]) -> None:
    assert found[0]["the end"] is None, found[0]["the end"]
    assert {name.split(" on ")[0] for name in found[1]} == set(NAMES)

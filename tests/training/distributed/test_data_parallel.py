"""Two workers are one process with the combined batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metaselector.training.checkpoint import read_checkpoint
from metaselector.training.distributed.communication import WARM_UP
from tests.training.distributed import task_checks
from tests.training.distributed.checked import DIVERGED, EXACT, ROUNDED

SINGLE, DOUBLE = 1e-6, 1e-12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    paths = os.pathsep.join(p for p in sys.path if p)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(Path(__file__).with_name("checked.py")), str(folder)]
    subprocess.run(
        command,
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    return folder


@pytest.fixture(scope="module", params=[0, 1])
def report(folder: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{request.param}.json").read_text())
    return found


@pytest.mark.parametrize("comm", EXACT)
def test_gradients_of_a_meta_batch(report: dict[str, Any], comm: str) -> None:
    assert report[f"gradients {comm}"] <= DOUBLE


@pytest.mark.parametrize("comm", ROUNDED)
def test_rounded_gradients(report: dict[str, Any], comm: str) -> None:
    assert 0 < report[f"gradients {comm}"] <= ROUNDED[comm]


@pytest.mark.parametrize("users", [1, 2, 8])
def test_any_number_of_users(report: dict[str, Any], users: int) -> None:
    assert report[f"gradients of {users}"] <= DOUBLE


def test_users_at_a_time(report: dict[str, Any]) -> None:
    assert report["gradients in passes"] <= DOUBLE


def test_rates_by_element_are_rows_too(report: dict[str, Any]) -> None:
    assert report["gradients by element"] <= DOUBLE


def test_single_precision(report: dict[str, Any]) -> None:
    assert report["gradients single"] <= SINGLE


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_gradients_of_rows(report: dict[str, Any], rows: int) -> None:
    assert report[f"gradients of {rows} rows"] <= SINGLE


@pytest.mark.parametrize("step", task_checks.checks())
def test_steps_of_several_tasks(report: dict[str, Any], step: str) -> None:
    assert report[step] <= SINGLE


@pytest.mark.parametrize(
    ("model", "settings", "rows"),
    [("aitm", "uncertainty", 24), ("aitm", "pcgrad", 48), ("summed", "plain", 48)],
)
def test_rows_are_shared_where_losses_add_up(
    report: dict[str, Any], model: str, settings: str, rows: int
) -> None:
    assert report[f"rows of {(model, settings)}"] == [rows]


@pytest.mark.parametrize("valid", [True, False])
def test_pretraining_ends_alike(report: dict[str, Any], valid: bool) -> None:
    assert report[f"pretrained, valid={valid}"] <= 1e-4  # Adam magnifies rounding


@pytest.mark.parametrize("comm", ["sparse", "none"])
def test_meta_training_ends_alike(report: dict[str, Any], comm: str) -> None:
    assert report[f"learned {comm}"] <= 1e-4


def test_predictions_are_the_same_bits(report: dict[str, Any]) -> None:
    assert report["predicted"] == 0


@pytest.mark.parametrize("comm", ["powersgd:1", "local-sgd:3"])
def test_workers_end_with_the_same(report: dict[str, Any], comm: str) -> None:
    assert report[f"workers agree: {comm}"] <= SINGLE
    assert 0 < report[f"moved: {comm}"] < 1  # it is no exact way


def test_workers_without_tables_end_with_the_same(report: dict[str, Any]) -> None:
    assert report["workers agree: no tables"] <= SINGLE


def test_local_steps_go_on_after_their_warm_up(report: dict[str, Any], folder: Path) -> None:
    # Each worker has moments of its own, and those of the first are kept: no bits to compare.
    assert report["workers agree: resumed"] <= SINGLE
    newest = max((folder / "kept-local-sgd:3").iterdir())
    assert read_checkpoint(newest).tensors["shared/steps"] > WARM_UP


def test_what_any_worker_says_is_heard_by_all(report: dict[str, Any]) -> None:
    assert report["heard"] == [[1, 1], [0, 0]]


@pytest.mark.parametrize(("comm", "at"), DIVERGED)
def test_workers_stop_together_at_a_nonfinite_loss(
    report: dict[str, Any], comm: str, at: int
) -> None:
    assert report[f"diverged: {comm}, {at}"] == at


def test_one_process_goes_on_from_two(folder: Path) -> None:
    report = json.loads((folder / "0.json").read_text())
    assert report["resumed alone"] <= 1e-4


def test_powersgds_errors_are_kept(folder: Path) -> None:
    newest = max((folder / "kept-powersgd:1").iterdir())
    assert [n for n in read_checkpoint(newest).tensors if n.startswith("shared/")]

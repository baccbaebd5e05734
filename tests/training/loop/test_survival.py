"""A run that is killed at random ends with the weights of one that was left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from metaselector.config import load_config
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stages.prepare import prepare_run
from metaselector.training.checkpoint import read_checkpoint
from tests.training.loop.killed import train

KILLS = 20
SETTINGS = (
    "threads=1",
    "seeds=[3]",
    "adapt.support_size=5",
    "adapt.inner_dropout=true",
    "selector.hidden_size=4",
    "meta_train.users_per_batch=4",
    "meta_train.epochs=6",
    "meta_train.patience=9",
    "meta_train.outer_lr_theta=1e-4",
    "meta_train.outer_lr_phi=5e-4",
    "checkpoint.steps=4",
)


@pytest.fixture(scope="module")
def prepared(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that is random: dropout, several tasks of the loop, early stopping."""
    folder = tmp_path_factory.mktemp("survival")
    short = {"epochs": 5, "batch_size": 64}
    models = {"lr": {"pretrain": short}, "deepfm": {"pretrain": short}}
    config = load_config(overrides=SETTINGS, changes={"base_models": models})
    config = config.model_copy(
        update={"base_models": {n: m for n, m in config.base_models.items() if n != "fm"}}
    )
    run = Run(folder / "whole", config)
    prepare_run(run, write_world(folder / "raw"), folder)
    save_config(run)
    shutil.copytree(run.directory, folder / "killed")
    started = time.perf_counter()
    train(run.directory)
    (folder / "seconds").write_text(str(time.perf_counter() - started))
    return folder


def weights(directory: Path) -> dict[str, dict[str, torch.Tensor]]:
    found = sorted((directory / "checkpoints").rglob("*"))
    return {
        str(path.relative_to(directory)): read_checkpoint(path).tensors
        for path in found
        if path.is_file()
    }


@pytest.mark.slow
def test_killed_at_random_points(prepared: Path) -> None:
    directory = prepared / "killed"
    script = Path(__file__).with_name("killed.py")
    paths = os.pathsep.join(p for p in sys.path if p)
    seconds = float((prepared / "seconds").read_text()) / 3
    subprocess.run(
        [sys.executable, script, directory, str(KILLS), str(seconds)],
        check=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    whole, found = weights(prepared / "whole"), weights(directory)
    assert found.keys() == whole.keys()
    for name, tensors in whole.items():
        assert tensors.keys() == found[name].keys()
        for key, tensor in tensors.items():
            assert torch.equal(tensor, found[name][key]), f"{name}: {key}"

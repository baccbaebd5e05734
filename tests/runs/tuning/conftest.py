"""A small prepared run to tune, and search spaces as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import pretrain_base_models
from metaselector.runs.tuning import search as stage
from tests.runs.tuning.small_search import (
    Write,
    simple_losses,
)


@pytest.fixture(scope="session")
def prepared(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("tune")
    quick = (
        "meta_train.epochs=1",
        "selector.epochs=1",
        "paper.epochs=1",
        "adapt.support_size=5",
        "selector.hidden_size=4",
        "threads=1",
        "seeds=[3]",
    )
    short = {"pretrain": {"epochs": 2}}
    config = load_config(overrides=quick, changes={"base_models": {"lr": short, "fm": short}})
    config = config.model_copy(
        update={"base_models": {n: m for n, m in config.base_models.items() if n in ("lr", "fm")}}
    )
    run = Run(folder / "run", config)
    prepare_run(run, write_world(folder / "raw"), folder)
    pretrain_base_models(run, Silent())
    return run


@pytest.fixture
def run(prepared: Run, tmp_path: Path) -> Run:
    """The prepared run with its base models, in a directory of its own per test."""
    directory = tmp_path / "run"
    directory.mkdir()
    for name in ("data", "checkpoints"):
        (directory / name).symlink_to(prepared.directory / name)
    return Run(directory, prepared.config)


@pytest.fixture
def space(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def simple(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "valid_losses", simple_losses)

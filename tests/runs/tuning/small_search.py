"""Helpers of the tests of tuning: a small search whose trials need no training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from metaselector.config import Config
from metaselector.meta.variants import Variant
from metaselector.runs.run import Run
from metaselector.runs.tuning import search as stage
from metaselector.runs.tuning.search import tune

Write = Callable[[str], Path]
"""Writes a search space to a file."""
SIMPLIFIED: Variant = "metaselector-simplified"
RATES = """
adapt.inner_lr_phi: {low: 0.1, high: 3.0, log: true}
adapt.steps: {low: 1, high: 3}
"""
FM = "base_models.fm.pretrain.learning_rate: {low: 0.001, high: 0.05, log: true}\n"


def trials(run: Run, target: str = SIMPLIFIED) -> pd.DataFrame:
    return pd.read_csv(run.directory / "tune" / f"{target}.csv").drop(columns="seconds")


def checkpoints(run: Run) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in (run.directory / "checkpoints").rglob("*")
        if path.is_file()
    }


def simple_losses(run: Run, target: str, config: Config) -> Iterator[float]:
    """Stand in for training; lowest at inner_lr_phi 1 and steps 3, and rising with the seed."""
    for seed in config.seeds:
        yield (config.adapt.inner_lr_phi - 1) ** 2 + (config.adapt.steps - 3) ** 2 + 0.01 * seed


def tune_without_base_models(run: Run, *arguments: object, **options: object) -> stage.Tuned:
    """Tune without pretraining, for runs whose seeds have no base models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_pretrain_missing", lambda run, progress: None)
        return tune(run, *arguments, **options)  # type: ignore[arg-type]

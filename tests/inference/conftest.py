"""A saved model that was never trained, whose outputs therefore mean nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from metaselector.config import load_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.inference.saved_model import _untrained
from metaselector.inference.trained import TrainedModel
from metaselector.meta.variants import make_adaptation
from metaselector.runs.run import Run
from metaselector.runs.run_similarity import similarity_of_window
from metaselector.runs.stages.prepare import prepare_run

SETTINGS = """
base_models: {lr: {}, fm: {options: {embedding_size: 2}}}
selector: {hidden_size: 2, embedding_size: 2}
threads: 1
"""


@dataclass(frozen=True)
class Untrained:
    """A model with its data, and the directory that it was saved to."""

    trained: TrainedModel
    dataset: EncodedDataset
    directory: Path


@pytest.fixture(scope="session")
def untrained(
    write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Untrained:
    folder = tmp_path_factory.mktemp("saved")
    (folder / "settings.yaml").write_text(SETTINGS)
    run = Run(folder / "run", load_config(folder / "settings.yaml"))
    prepare_run(run, write_world(folder / "raw"), folder)
    encoder = FittedEncoder.load(run.data_directory)
    mixture = _untrained(encoder, run.config, 0)
    base_models = dict(mixture.base_models.items())
    mixture.similarity = similarity_of_window(base_models, run.dataset, run.config, "full")
    with torch.no_grad():  # as meta-training does
        mixture.base_models["fm"].embedding.weight.add_(0.1)
    adaptation = make_adaptation("metaselector", mixture, run.config)
    alpha = adaptation.initial_rates(dict(mixture.named_parameters()))
    alpha = {name: rate.detach() for name, rate in alpha.items()}
    trained = TrainedModel(encoder, run.config, "metaselector", 0, mixture, alpha)
    trained.save(folder / "model")
    return Untrained(trained, run.dataset, folder / "model")


@pytest.fixture(scope="session")
def saved(untrained: Untrained) -> Path:
    return untrained.directory


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))

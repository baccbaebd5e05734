"""A small world with items and histories, and models to teach each other in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from base_models import FM, LR, DeepFM
from metaselector.config import load_config
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.training.freezing import Freezing
from metaselector.training.peer_learning.together import Peer, Together

CONFIG = PretrainConfig(learning_rate=0.05, weight_decay=1e-4, batch_size=64, epochs=6, patience=2)

MakePeers = Callable[..., list[Peer]]
Interrupt = Callable[[type[Together], int], None]


@pytest.fixture(scope="session")
def dataset(
    write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> EncodedDataset:
    folder = tmp_path_factory.mktemp("teaching")
    run = Run(folder / "run", load_config(overrides=["threads=1"]))
    prepare_run(run, write_world(folder / "raw"), folder)
    return run.dataset


def make(dataset: EncodedDataset, name: str) -> nn.Module:
    shape = dataset.schema.num_ids, dataset.schema.slot_fields
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if name == "deepfm":
            return DeepFM(*shape, embedding_size=3, hidden_sizes=(4,), dropout=0.5)
        return LR(*shape) if name == "lr" else FM(*shape, embedding_size=3)


@pytest.fixture
def peers(dataset: EncodedDataset) -> MakePeers:
    """Makes peers with the given names; keywords are settings of all."""

    def made(*names: str, double: bool = False, **settings: object) -> list[Peer]:
        found = []
        for name in names or ("lr", "fm", "deepfm"):
            model = make(dataset, name)
            config = CONFIG.model_copy(update=settings)
            known = dict(model.named_parameters())
            found.append(
                Peer(
                    name,
                    model.double() if double else model,
                    config,
                    config.epochs,
                    Freezing(name, known, (), None),
                )
            )
        return found

    return made


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """Lets Ctrl-C come in a step of a kind of training."""

    def at(kind: type[Together], step: int) -> None:
        gradients, steps = kind.gradients, iter(range(1, 1_000_000))

        def counted(self: Together, batch: Any, epoch: int) -> float | None:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGINT)
            return gradients(self, batch, epoch)

        monkeypatch.setattr(kind, "gradients", counted)

    return at

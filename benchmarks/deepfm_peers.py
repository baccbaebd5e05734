"""The DeepFMs of DeepCTR-Torch and torch-rechub on our rows, as :mod:`benchmarks.peers` gives them.

DeepCTR-Torch then computes what ours does: with our parameters, its predictions are ours to the
last digits of float64. What still differs:

- torch-rechub's first-order term is a dense layer on the embeddings, its MLP has batch-norm that
  cannot be turned off, and its DeepFM looks every embedding up twice.
- Ours has an L2 penalty in Adam. Theirs is off, which is faster.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers import (
    Column,
    Contender,
    Settings,
    adam,
    bare,
    deepctr_torch_features,
    deepctr_torch_inputs,
    hide_progress,
    installed,
    torch_rechub_features,
    torch_rechub_inputs,
    torch_rechub_loaders,
)
from metaselector.models.external.deepctr_torch import silence_version_check
from metaselector.training.predict import PREDICTION_ROWS


def peers(fields: Mapping[str, Column], labels: Tensor, settings: Settings) -> dict[str, Contender]:
    """Both peers, each in the loop of its library and in a bare one, with Adam plain and fused.

    Raises:
        UserError: a peer is not installed.
    """
    with installed():
        deepctr_torch = _deepctr_torch(fields, labels, settings)
        return deepctr_torch | _torch_rechub(fields, labels, settings)


def _deepctr_torch(
    fields: Mapping[str, Column], labels: Tensor, settings: Settings
) -> dict[str, Contender]:
    silence_version_check()
    from deepctr_torch.models import DeepFM

    features = deepctr_torch_features(fields, settings.embedding_size)

    def new() -> nn.Module:
        return DeepFM(
            features,
            features,
            dnn_hidden_units=settings.hidden_sizes,
            l2_reg_linear=0,
            l2_reg_embedding=0,
            device=settings.device,
        )

    inputs = deepctr_torch_inputs(fields)
    x, y = inputs.numpy(), labels.numpy()
    model: Any = new()
    model.compile(adam(model, settings), "binary_crossentropy")

    def fit() -> None:
        with redirect_stdout(io.StringIO()):
            model.fit([x], y, settings.batch_size, verbose=0)

    def predict() -> Tensor:
        return torch.from_numpy(model.predict([x], PREDICTION_ROWS)).flatten()

    def cut(rows: Tensor) -> Tensor:
        return inputs[rows].to(settings.device)

    loops = bare("deepctr-torch", new, cut, labels, settings)
    return {"deepctr-torch fit": Contender(fit, predict)} | loops


def _torch_rechub(
    fields: Mapping[str, Column], labels: Tensor, settings: Settings
) -> dict[str, Contender]:
    from torch_rechub.models.ranking import DeepFM
    from torch_rechub.trainers import CTRTrainer, ctr_trainer

    hide_progress(ctr_trainer)

    def new() -> nn.Module:
        features = torch_rechub_features(fields, settings.embedding_size)
        return DeepFM(features, features, {"dims": settings.hidden_sizes})

    inputs = torch_rechub_inputs(fields)
    trainer = CTRTrainer(
        new(), optimizer_params={"lr": settings.learning_rate}, device=settings.device
    )
    train, test = torch_rechub_loaders(inputs, labels, settings)
    fit = Contender(
        lambda: trainer.train_one_epoch(train),
        lambda: torch.tensor(trainer.predict(trainer.model, test)),
    )

    def cut(rows: Tensor) -> dict[str, Tensor]:
        return {name: ids[rows].to(settings.device) for name, ids in inputs.items()}

    loops = bare("torch-rechub", new, cut, labels, settings)
    return {"torch-rechub fit": fit} | loops

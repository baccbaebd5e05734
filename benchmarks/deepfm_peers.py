"""DeepFM of DeepCTR-Torch and of torch-rechub, on the rows that :mod:`benchmarks.peers` gives them.

DeepCTR-Torch's DeepFM then computes what ours does: with our parameters, its predictions equal ours
up to rounding in float64. The remaining differences:

- torch-rechub's first-order term is a dense layer on the embeddings, its MLP has batch-norm that
  cannot be turned off, and its DeepFM looks up every embedding twice.
- Ours has an L2 penalty in Adam. Theirs is turned off, which is faster.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from benchmarks import deepctr_torch_peer, torch_rechub_peer
from benchmarks.contenders import Contender, Settings, bare_loops
from benchmarks.peers import Column, installed
from metaselector.models.external.deepctr_torch import silence_version_check


def peers(fields: Mapping[str, Column], labels: Tensor, settings: Settings) -> dict[str, Contender]:
    """Both peers, each in its library's loop and in a bare one with plain and with fused Adam.

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

    features = deepctr_torch_peer.features(fields, settings.embedding_size)

    def new() -> nn.Module:
        return DeepFM(
            features,
            features,
            dnn_hidden_units=settings.hidden_sizes,
            l2_reg_linear=0,
            l2_reg_embedding=0,
            device=settings.device,
        )

    return deepctr_torch_peer.contenders(new, fields, labels, settings)


def _torch_rechub(
    fields: Mapping[str, Column], labels: Tensor, settings: Settings
) -> dict[str, Contender]:
    from torch_rechub.models.ranking import DeepFM
    from torch_rechub.trainers import CTRTrainer, ctr_trainer

    def new() -> nn.Module:
        features = torch_rechub_peer.features(fields, settings.embedding_size)
        return DeepFM(features, features, {"dims": settings.hidden_sizes})

    inputs = torch_rechub_peer.inputs(fields)
    trainer = CTRTrainer(new(), **torch_rechub_peer.trainer_options(ctr_trainer, settings))
    train, test = torch_rechub_peer.loaders(inputs, labels, settings)
    fit = Contender(
        lambda: trainer.train_one_epoch(train),
        lambda: torch.tensor(trainer.predict(trainer.model, test)),
    )
    loops = bare_loops("torch-rechub", new, inputs, labels, settings)
    return {"torch-rechub fit": fit} | loops

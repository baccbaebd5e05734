"""A tiny planted world, mixtures in it, and their meta-training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from base_models import FM, LR
from metaselector.common.progress import Silent
from metaselector.config import AdaptConfig, Config, MetaTrainConfig, PaperConfig, SelectorConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.meta.adapt.adaptation import is_number
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.train import meta_train
from metaselector.meta.variants import Variant
from metaselector.models.build import build_mixture
from metaselector.models.mixture import Mixture
from metaselector.training.loop.snapshot_manager import SnapshotManager

VARIANTS: tuple[Variant, ...] = (
    "sample-selector",
    "metaselector-paper-simplified",
    "metaselector-paper",
    "metaselector-simplified",
    "metaselector-simplified-maml",
    "metaselector-simplified-first-order-maml",
    "metaselector",
    "metaselector-maml",
    "metaselector-first-order-maml",
)
"""The variants that learn phi if the settings say so."""
EPOCHS = 3
CONFIG = Config(
    selector=SelectorConfig(embedding_size=2, hidden_size=3, epochs=EPOCHS, query_size=3),
    adapt=AdaptConfig(
        rule="meta-sgd",
        granularity="tensor",
        per_step=False,
        support_size=5,
        inner_lr_theta=0.1,
        inner_lr_phi=0.1,
    ),
    meta_train=MetaTrainConfig(
        users_per_batch=4,
        query_size=3,
        epochs=EPOCHS,
        patience=EPOCHS,
        outer_lr_theta=1e-4,
        outer_lr_phi=5e-4,
        averaging=0.0,
    ),
    paper=PaperConfig(epochs=EPOCHS, query_size=3),
)
"""Everything is learned: theta, phi, rates, weights of support rows, and the correction."""


def planted() -> EncodedDataset:
    return planted_world(4, 20, 8, np.random.default_rng(0)).dataset


def mixture(dataset: EncodedDataset, seed: int) -> Mixture:
    """Untrained base models; `seed` decides theta, phi is always the same."""
    schema = dataset.schema
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        models: dict[str, nn.Module] = {
            "lr": LR(schema.num_ids, schema.slot_fields),
            "fm": FM(schema.num_ids, schema.slot_fields, embedding_size=2),
        }
        for model in models.values():
            for p in model.parameters():
                nn.init.normal_(p, std=0.5)
    return build_mixture(models, dataset.schema, CONFIG, 0)


def parameters(model: Mixture) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def train(
    variant: Variant,
    dataset: EncodedDataset,
    *,
    config: Config = CONFIG,
    early: Mixture | None = None,
    later: Mixture | None = None,
    seed: int = 0,
    start_from: MetaParameters | None = None,
    snapshots: SnapshotManager | None = None,
) -> MetaParameters:
    return meta_train(
        variant,
        dataset,
        early or mixture(dataset, 1),
        later or mixture(dataset, 2),
        config,
        np.random.default_rng(seed),
        start_from=start_from,
        description="meta-train",
        progress=Silent(),
        snapshots=snapshots,
    )


def with_adapt(**changes: Any) -> Config:
    return CONFIG.model_copy(update={"adapt": CONFIG.adapt.model_copy(update=changes)})


def with_meta_train(**changes: Any) -> Config:
    changed = CONFIG.meta_train.model_copy(update=changes)
    return CONFIG.model_copy(update={"meta_train": changed})


def rates_of(alpha: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Only the inner rates, without the other learned numbers."""
    return {name: rate for name, rate in alpha.items() if not is_number(name)}


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def theta(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: p for name, p in params.items() if name.startswith("base_models.")}


def script_losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The list to fill with the epochs' losses on *valid*, epoch 0 first."""
    losses: list[float] = []
    found = iter(losses)

    class Found:
        def loss(self) -> float:
            return next(found)

    monkeypatch.setattr(AdaptedModel, "predict", lambda *_: Found())
    return losses

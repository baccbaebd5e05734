"""Divergence, clipping and bounds where base models and selectors are trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models.lr import LR
from metaselector.common.progress import Silent
from metaselector.config import AdaptConfig, Config, MetaTrainConfig, SelectorConfig
from metaselector.config.training import CheckpointConfig, PretrainConfig
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.train import meta_train
from metaselector.models.build import build_mixture
from metaselector.training.loop.divergence import Diverged
from metaselector.training.loop.snapshot_manager import SnapshotDirectory
from metaselector.training.pretrain import pretrain


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted_world(4, 20, 1000, np.random.default_rng(0)).dataset


class Poisoned(LR):
    """No number for rows with a marked id; the mark is a table, so that engines remap it too."""

    tables = (*LR.tables, "mark")

    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, slot_fields)
        self.mark = nn.Parameter(torch.zeros(num_ids, 1))

    def forward(self, batch: Batch) -> Tensor:
        hit = F.embedding(batch[0], self.mark.detach()).flatten(-2).sum(-1) > 0  # [..., B]
        return torch.where(hit, torch.nan, super().forward(batch))


def poisoned(dataset: EncodedDataset, user: int) -> Poisoned:
    """A model whose logits are non-finite for items that only one user has."""
    schema = dataset.schema
    model = Poisoned(schema.num_ids, schema.slot_fields)
    items = dataset.batch(np.arange(len(dataset.labels)))[0][:, 0]
    own, others = items[dataset.users == user], items[dataset.users != user]
    unique = own[~torch.isin(own, others)]
    assert len(unique)
    with torch.no_grad():
        model.mark[unique] = 1
    return model


def fit(model: nn.Module, dataset: EncodedDataset, keep: Path | None = None, **config: Any) -> None:
    settings = PretrainConfig(learning_rate=0.1, weight_decay=0, batch_size=16, epochs=2, **config)
    snapshots = None if keep is None else SnapshotDirectory(keep, {}, CheckpointConfig(steps=1))
    pretrain(
        model,
        dataset,
        np.arange(len(dataset.labels)),
        settings,
        np.random.default_rng(0),
        valid=None,
        epochs=2,
        description="fit",
        progress=Silent(),
        snapshots=snapshots,
    )


def learn(
    dataset: EncodedDataset, models: dict[str, nn.Module] | None = None, **changes: Any
) -> MetaParameters:
    schema = dataset.schema
    made = models or {
        "lr": LR(schema.num_ids, schema.slot_fields),
        "other": LR(schema.num_ids, schema.slot_fields),
    }
    config = Config(
        selector=SelectorConfig(embedding_size=2, hidden_size=3),
        adapt=AdaptConfig(support_size=5, inner_lr_theta=0.1, inner_lr_phi=0.1),
        meta_train=MetaTrainConfig(users_per_batch=4, query_size=3, epochs=2, **changes),
    )
    return meta_train(
        "metaselector",
        dataset,
        build_mixture(made, dataset.schema, config, 0),
        build_mixture(made, dataset.schema, config, 0),
        config,
        np.random.default_rng(0),
        description="learn",
        progress=Silent(),
    )


def test_pretraining_names_the_user(dataset: EncodedDataset, tmp_path: Path) -> None:
    name = dataset.user_names[2]
    with pytest.raises(Diverged, match=rf"step \d+ \(epoch 1\) .* for user {name}; last good"):
        fit(poisoned(dataset, 2), dataset)


def test_meta_training_names_the_user(dataset: EncodedDataset) -> None:
    schema = dataset.schema
    models = {"lr": LR(schema.num_ids, schema.slot_fields), "bad": poisoned(dataset, 2)}
    with pytest.raises(Diverged) as caught:
        learn(dataset, models)
    message = str(caught.value)
    assert f"for user {dataset.user_names[2]}" in message
    assert "set meta_train.clip_norm or meta_train.rate_bounds" in message


def test_nonfinite_gradients_name_the_parameters(dataset: EncodedDataset, tmp_path: Path) -> None:
    model = LR(dataset.schema.num_ids, dataset.schema.slot_fields)
    for parameter in model.parameters():
        parameter.register_hook(lambda grad: grad * torch.inf)
    with pytest.raises(Diverged, match=r"non-finite values in parameter '.*' after step .* user"):
        fit(model, dataset, tmp_path / "kept")


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_clipping_where_nothing_is_long_changes_nothing(dataset: EncodedDataset) -> None:
    schema = dataset.schema
    free, loose, tight = (LR(schema.num_ids, schema.slot_fields) for _ in range(3))
    start = flat(free)
    fit(free, dataset)
    fit(loose, dataset, clip_norm=1e6)
    fit(tight, dataset, clip_norm=1e-12)  # far below Adam's epsilon
    assert torch.equal(flat(free), flat(loose))
    assert (flat(free) - start).abs().max() > 0.1
    assert (flat(tight) - start).abs().max() < 0.01


def test_outer_gradients_are_clipped(dataset: EncodedDataset) -> None:
    outer = {"outer_lr_theta": 1e-4, "outer_lr_phi": 5e-4}
    free, loose, tight = (learn(dataset, clip_norm=norm, **outer) for norm in (None, 1e6, 1e-12))
    for name, tensor in free.tensors().items():
        assert torch.equal(tensor, loose.tensors()[name])
    assert free.best_epoch == loose.best_epoch
    assert free.rates == loose.rates
    start, end, clipped = (
        {row["parameter"]: row["mean"] for row in learned.rates if row["epoch"] == epoch}
        for learned, epoch in ((free, 0), (free, 2), (tight, 2))
    )
    assert clipped == pytest.approx(start, rel=1e-4)
    assert max(abs(end[name] / mean - 1) for name, mean in start.items()) > 1e-2


def test_rates_stay_in_their_bounds(dataset: EncodedDataset) -> None:
    """Which the other learned numbers do not have."""
    free, bound = (
        [
            row
            for row in learn(dataset, outer_lr_alpha=0.5, patience=5, rate_bounds=bounds).rates
            if "/" not in row["parameter"]
        ]
        for bounds in (None, (0.05, 0.15))
    )
    assert min(row["low"] for row in free) < 0.05 or max(row["high"] for row in free) > 0.15
    assert min(row["low"] for row in bound) >= 0.05 - 1e-7
    assert max(row["high"] for row in bound) <= 0.15 + 1e-7


def test_bounds_have_an_order() -> None:
    with pytest.raises(ValueError, match=r"expected \[minimum, maximum\]"):
        MetaTrainConfig(rate_bounds=(1.0, 0.0))

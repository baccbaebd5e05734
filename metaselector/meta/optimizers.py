"""The outer loop's optimizers: Adam, and for tables an Adam that skips untouched rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from metaselector.config import MetaTrainConfig
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.models.kernels.row_adam import RowAdam
from metaselector.models.mixture import Mixture


def row_sparse_ids(mixture: Mixture, episode: EpisodeLoss) -> set[int]:
    """``id`` of the tables, and of the rates shaped like a table."""
    tables = {name: p for name, p in mixture.named_parameters() if name in mixture.tables}
    return {id(p) for p in tables.values()} | {
        id(rate)
        for name, rate in episode.rates.items()
        if name in tables and rate.shape == tables[name].shape
    }


def outer_optimizers(
    mixture: Mixture, episode: EpisodeLoss, config: MetaTrainConfig
) -> list[torch.optim.Optimizer]:
    """Adam with separate rates for phi, theta (unless frozen) and alpha (if learned).

    Embedding tables use :class:`RowAdam`, which skips rows that the meta-batch does not touch.
    ``weight_decay`` applies to the other parameters of phi only, decoupled from the gradient
    (AdamW: Loshchilov and Hutter, ICLR 2019, Algorithm 2).
    """
    row_sparse = row_sparse_ids(mixture, episode)
    dense: list[dict[str, Any]] = []
    sparse: list[dict[str, Any]] = []
    for module, rate, decay in (
        (mixture.selector, config.outer_lr_phi, config.weight_decay),
        (mixture.base_models, config.outer_lr_theta, 0.0),
        (episode.alpha, config.outer_lr_alpha, 0.0),
    ):
        learned = [p for p in module.parameters() if p.requires_grad]
        own = [p for p in learned if id(p) not in row_sparse]
        dense.append({"params": own, "lr": rate, "weight_decay": decay})
        sparse.append({"params": [p for p in learned if id(p) in row_sparse], "lr": rate})
    adam = torch.optim.AdamW if config.weight_decay else torch.optim.Adam
    return [
        optimizer([group for group in groups if group["params"]])
        for optimizer, groups in ((partial(adam, fused=True), dense), (RowAdam, sparse))
        if any(group["params"] for group in groups)
    ]

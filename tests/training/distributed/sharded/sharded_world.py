"""A small mixture with episodes, shared between workers, and comparisons with whole tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from base_models import FM, LR
from metaselector.data.planted import planted_world
from metaselector.data.splitting.episodes import Episodes, load_episodes, window_episodes
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.models.losses import mean_loss
from metaselector.models.mixture import Mixture
from metaselector.models.selector import GatedSelector
from metaselector.training.distributed.sharded.gradients import (
    average_gradients,
)
from metaselector.training.distributed.sharded.order import RowOrder
from metaselector.training.distributed.sharded.rows import (
    rows_here,
    whole_table,
)

RULES: dict[str, InnerRule] = {
    "maml": MAML(0.3),
    "first-order-maml": MAML(0.3, second_order=False),
    "meta-sgd-scalar": MetaSGD(0.3, granularity="scalar"),
    "meta-sgd-tensor": MetaSGD(0.3, granularity="tensor"),
    "meta-sgd-element": MetaSGD(0.3, granularity="element"),
}
CLOSE = {torch.float64: 1e-12, torch.float32: 1e-6}
WORLD = planted_world(4, 20, 8, np.random.default_rng(0)).dataset
CHECKS: dict[str, Callable[[DeviceMesh, Path], None]] = {}


def check(function: Callable[[DeviceMesh, Path], None]) -> Callable[[DeviceMesh, Path], None]:
    CHECKS[function.__name__] = function
    return function


def close(found: Tensor, wanted: Tensor) -> None:
    """Equal but for rounding, relative to the largest number."""
    tolerance = CLOSE[wanted.dtype]
    scale = max(1.0, float(wanted.abs().max())) if wanted.numel() else 1.0
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance * scale)


def mixture(dtype: torch.dtype = torch.float64) -> Mixture:
    """The same on every worker."""
    torch.manual_seed(0)
    ids, fields = WORLD.schema.num_ids, WORLD.schema.slot_fields
    models = {"lr": LR(ids, fields), "fm": FM(ids, fields, embedding_size=3)}
    made = Mixture(models, GatedSelector(ids, fields, 2, embedding_size=2, hidden_size=3))
    for p in made.parameters():
        nn.init.normal_(p, std=0.5)
    return made.to(dtype).eval()


def episode_loss(model: Mixture, rule: InnerRule) -> EpisodeLoss:
    adaptation = Adaptation(rule, 2, tuple(name for name, _ in model.named_parameters()))
    rates = adaptation.initial_rates(dict(model.named_parameters()))
    return EpisodeLoss(model, rates, adaptation, FuncEngine(), mean_loss)


def episodes(dtype: torch.dtype, seed: int = 0) -> Episodes:
    """Five users whose queries differ in length."""
    users = np.random.default_rng(seed).permutation(WORLD.num_users)[:5]
    rows = window_episodes(WORLD, (60, 100), 6, users)
    rows.query[1, 2:] = -1
    rows.query[3, 5:] = -1
    return load_episodes(WORLD, rows).to("cpu", dtype)


def share(whole: Episodes, mesh: DeviceMesh) -> Episodes | None:
    """This worker's users: of two workers 3 and 2, of three 3, 2 and none."""
    parts = whole.split(3)
    rank = mesh.get_local_rank()
    return parts[rank] if rank < len(parts) else None


def share_gradients(episode: EpisodeLoss, whole: Episodes, mesh: DeviceMesh, at_once: int) -> float:
    """One step of the outer loop: gradients of the mean over all workers' rows, and that mean."""
    own = share(whole, mesh)
    total = torch.zeros((), dtype=torch.float64)
    if own is None:
        episode.join_empty()
    else:
        part = (own.query.mask.sum() / whole.query.mask.sum()).item()
        total += part * episode.accumulate_gradients(own, at_once, weight=mesh.size() * part)
    average_gradients(episode.parameters(), mesh)
    dist.all_reduce(total, group=mesh.get_group())
    return total.item()


def same_gradients(ours: nn.Module, theirs: nn.Module) -> None:
    """Of a sharded module here, and of the whole one."""
    seen = 0
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if not q.requires_grad:
            assert p.grad is None, name
            continue
        assert p.grad is not None, name
        wanted = q.grad.to_dense()
        if isinstance(p, DTensor):
            held, first = rows_here(p)
            assert p.grad.is_sparse
            own = torch.zeros_like(wanted)
            places = RowOrder(len(p)).ids(first, first + len(held))
            own[first : first + len(held)] = wanted[places]
            wanted, seen = own, seen + 1
        close(p.grad.to_dense(), wanted)
    assert seen >= 4  # the tables of lr, fm (two) and the selector


def same_parameters(ours: nn.Module, theirs: nn.Module) -> None:
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        found = whole_table(p) if isinstance(p, DTensor) else p.detach()
        try:
            close(found, q.detach())
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error

"""An engine and its slow twin in the tiny world, and what both are compared by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from base_models import FM
from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import Engine, Loss
from metaselector.models.mixture import MixtureOutput

RATE = 0.3
Rates = Mapping[str, Tensor]


@dataclass(frozen=True)
class Runner:
    """An engine and its slow twin, with the loss that both use."""

    engine: Engine
    reference: ModuleType
    loss: Loss

    def output(
        self, world: Any, adaptation: Adaptation, rates: Rates, episodes: Episodes | None = None
    ) -> MixtureOutput:
        mixed: MixtureOutput = self.engine(
            world.model, world.params, rates, adaptation, episodes or world.episodes, self.loss
        )
        return mixed

    def losses(self, world: Any, adaptation: Adaptation, rates: Rates) -> Tensor:
        """Mean query loss of every user, ``[U]``."""
        return self.losses_of(self.output(world, adaptation, rates), world)

    def losses_of(self, output: MixtureOutput, world: Any) -> Tensor:
        query = world.episodes.query
        users = range(len(query.labels))
        each = (MixtureOutput(*(part[u] for part in output)) for u in users)
        return torch.stack(
            [self.loss(mixed, query.labels[u], query.mask[u]) for u, mixed in enumerate(each)]
        )

    def expected(self, world: Any, adaptation: Adaptation, rates: Rates) -> tuple[Tensor, Tensor]:
        """The slow twin's losses ``[U]``, and log-probabilities of all real query rows."""
        results = self.reference.adapt_users(
            world.model, world.params, rates, adaptation, world.episodes, self.loss
        )
        losses = self.reference.query_losses(results, world.episodes, self.loss)
        return losses, torch.cat([result.output.log_positive for result in results])


def meta_gradients(losses: Tensor, world: Any, rates: Rates) -> dict[str, Tensor]:
    leaves = {**world.params, **{f"rate of {name}": rate for name, rate in rates.items()}}
    grads = torch.autograd.grad(
        losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, grads, strict=True))


def users_of(episodes: Episodes, users: list[int]) -> Episodes:
    def pick(rows: Rows) -> Rows:
        return Rows(
            Batch(rows.batch.ids[users], rows.batch.values[users]),
            rows.labels[users],
            rows.mask[users],
        )

    return Episodes(pick(episodes.support), pick(episodes.query))


def named(name: str, message: str) -> str:
    return f"{name}: {message}"


def tiny_episode() -> tuple[FM, Episodes]:
    """One FM with 13 parameters and two users."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FM(4, [0, 1], embedding_size=2).double()
    support = Rows(
        Batch(torch.tensor([[[1, 2], [1, 3]], [[2, 3], [0, 0]]]), torch.ones(2, 2, 2).double()),
        torch.tensor([[1.0, 0.0], [1.0, 0.0]]).double(),
        torch.tensor([[1.0, 1.0], [1.0, 0.0]]).double(),
    )
    support.batch.values[1, 1] = 0
    query = Rows(
        Batch(torch.tensor([[[2, 3]], [[1, 2]]]), torch.ones(2, 1, 2).double()),
        torch.tensor([[0.0], [1.0]]).double(),
        torch.ones(2, 1).double(),
    )
    return model, Episodes(support, query)


def logit_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    losses = torch.nn.functional.softplus(logits) - labels * logits
    return (losses * mask).sum() / mask.sum().clamp_min(1)

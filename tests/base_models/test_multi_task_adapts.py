"""Every multi-task model adapts per user: all users at once, and through the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from base_models.contract import observed_losses
from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import MAML
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from tests.base_models.multi_task_models import total


def users_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters of two users as leaves ``[2, ...]``."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: (p + 0.2 * torch.randn(2, *p.shape, generator=generator, dtype=p.dtype))
        .detach()
        .requires_grad_()
        for name, p in model.named_parameters()
    }


def after_a_step(losses: Callable[[dict[str, Tensor]], Tensor], params: dict[str, Tensor]) -> Any:
    """The losses ``[2]`` after a step of gradient descent, and their gradients."""
    grads = torch.autograd.grad(
        losses(params).sum(), list(params.values()), create_graph=True, materialize_grads=True
    )
    moved = {k: p - 0.1 * g for (k, p), g in zip(params.items(), grads, strict=True)}
    after = losses(moved)
    return after, torch.autograd.grad(after.sum(), list(params.values()), materialize_grads=True)


class Losses(nn.Module):
    """The total loss as the output, for ``functional_call``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Any, labels: Tensor) -> Tensor:
        return total(self.model, batch, labels)


def test_users_at_once_equal_users_one_by_one(model: Any, rows: Any, labels: Tensor) -> None:
    """Losses and second-order gradients; each user has different parameters, rows and labels."""
    module = Losses(model)
    params = users_of(module)
    ids, values = (torch.stack([part, part.flip(0)]) for part in rows)
    of_users = torch.stack([labels, labels.roll(2, 0)])

    def one(params: dict[str, Tensor], ids: Tensor, values: Tensor, labels: Tensor) -> Tensor:
        with Intercept(Lookups().handlers):  # as all engines do
            return functional_call(module, params, ((ids, values), labels))

    def at_once(params: dict[str, Tensor]) -> Tensor:
        return vmap(one)(params, ids, values, of_users)

    def one_by_one(params: dict[str, Tensor]) -> Tensor:
        own = [{key: p[u] for key, p in params.items()} for u in range(2)]
        return torch.stack([one(own[u], ids[u], values[u], of_users[u]) for u in range(2)])

    losses, grads = after_a_step(at_once, params)
    expected_losses, expected_grads = after_a_step(one_by_one, params)
    torch.testing.assert_close(losses, expected_losses, rtol=1e-10, atol=1e-10)
    for key, grad, expected in zip(params, grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, expected, rtol=1e-9, atol=1e-9, msg=key)


def test_the_engine_adapts_them(name: str, model: Any, rows: Any, labels: Tensor) -> None:
    """One step on two rows, so the weights of linear layers are factored; then five rows."""
    params = dict(model.named_parameters())
    rule = MAML(0.1)
    adaptation = Adaptation(rule, 1, tuple(params))
    ids, values = (torch.stack([part, part.flip(0)]) for part in rows)
    of_users = torch.stack([labels, labels.flip(0)])
    support, query = (
        Rows(Batch(ids[:, part], values[:, part]), of_users[:, part], torch.ones(2, n).double())
        for part, n in ((slice(2), 2), (slice(2, None), 5))
    )

    def loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return observed_losses(logits, labels, model.tasks).sum()

    def alone(u: int) -> Tensor:
        def logits(params: Any, rows: Rows) -> Tensor:
            batch = Batch(rows.batch.ids[u], rows.batch.values[u])
            with Intercept(Lookups().handlers):
                return functional_call(model, params, (batch,))

        first = loss(logits(params, support), support.labels[u], support.mask[u])
        grads = torch.autograd.grad(
            first, list(params.values()), create_graph=True, materialize_grads=True
        )
        rates = adaptation.initial_rates(params)
        return logits(rule.update(params, dict(zip(params, grads, strict=True)), rates), query)

    found = FuncEngine()(
        model, params, adaptation.initial_rates(params), adaptation, Episodes(support, query), loss
    )
    expected = torch.stack([alone(u) for u in range(2)])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    outer = [
        torch.autograd.grad(logits.sin().sum(), list(params.values()), materialize_grads=True)
        for logits in (found, expected)
    ]
    for key, grad, of_loop in zip(params, *outer, strict=True):
        torch.testing.assert_close(grad, of_loop, rtol=1e-8, atol=1e-8, msg=key)

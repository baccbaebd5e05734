"""The slow, obvious twin of every engine: one user at a time, on full tables, padding dropped."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.contract import InnerLoop, Loss
from metaselector.meta.adapt.rules import Tensors


class UserResult(NamedTuple):
    """One user's adapted parameters, full tables, and the outputs for their query rows."""

    params: dict[str, Tensor]
    output: Any


class _Obvious(TorchFunctionMode):
    """Gives embedding_bag, sums only, a second derivative, which torch's own lacks."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.embedding_bag:
            return _embedding_bag(*args, **kwargs)
        return func(*args, **(kwargs or {}))


def _embedding_bag(
    ids: Tensor,
    table: Tensor,
    *,
    mode: str,
    offsets: Tensor | None = None,
    per_sample_weights: Tensor | None = None,
    **_: Any,
) -> Tensor:
    assert mode == "sum"
    assert per_sample_weights is not None
    weighted = table[ids] * per_sample_weights.unsqueeze(-1)
    if offsets is None:
        return weighted.sum(-2)
    ends = [*offsets.tolist()[1:], len(ids)]
    bags = [weighted[i:j].sum(0) for i, j in zip(offsets.tolist(), ends, strict=True)]
    return torch.stack(bags) if bags else table.new_zeros(0, table.shape[1])


def adapt_users(*arguments: Any) -> list[UserResult]:
    """The result of every user, in order; arguments as of an engine."""
    with _Obvious():
        return _adapt_users(InnerLoop(*arguments))


def _adapt_users(loop: InnerLoop) -> list[UserResult]:
    model, params, rates, adaptation, episodes, loss = loop
    results = []
    for user in range(len(episodes.support.labels)):
        batch, labels = _real_rows(episodes.support, user)
        params = {**params, **_context(model, params, batch, labels)}
        adapted = {name: params[name] for name in adaptation.names}
        for step in range(adaptation.steps):
            if not len(labels):
                break  # nothing to learn from
            weights = labels.new_ones(len(labels))
            if adaptation.half_lives and adaptation.half_lives[step] is not None:
                for age in range(len(labels)):
                    weights[len(labels) - 1 - age] = 0.5 ** (age / adaptation.half_lives[step])
            share = float(weights.sum()) / (float(weights.sum()) + adaptation.prior_rows)
            now = rates
            if adaptation.per_step:
                now = {name: rate[step].unsqueeze(0) for name, rate in rates.items()}
            output = functional_call(model, {**params, **adapted}, (batch,))
            grads = torch.autograd.grad(
                share * loss(output, labels, weights),
                list(adapted.values()),
                create_graph=True,
                materialize_grads=True,
            )
            if not adaptation.rule.second_order:
                grads = tuple(grad.detach() for grad in grads)
            adapted = adaptation.rule.update(adapted, dict(zip(adapted, grads, strict=True)), now)
        own = {**params, **adapted}
        query, _ = _real_rows(episodes.query, user)
        results.append(UserResult(own, functional_call(model, own, (query,))))
    return results


def _context(model: nn.Module, params: Tensors, batch: Batch, labels: Tensor) -> dict[str, Tensor]:
    """What the selector is told of the support: constants, and nothing where it does not ask."""
    name = "selector.support_losses"
    if name not in dict(model.named_buffers()):
        return {}
    if not len(labels):
        return {name: torch.zeros_like(model.get_buffer(name))}
    base = functional_call(model, dict(params), (batch,)).base_probabilities.detach()
    labels = labels.reshape(len(labels), -1)  # [R, T]
    found = []
    for of_model in base.reshape(len(labels), -1, labels.shape[1]).unbind(1):
        for p, y in zip(of_model.unbind(1), labels.unbind(1), strict=True):
            seen = ~y.isnan()
            some = F.binary_cross_entropy(p[seen], y[seen]) if seen.any() else y.new_zeros(())
            found.append(some)
    return {name: torch.stack(found)}


def query_losses(results: list[UserResult], episodes: Episodes, loss: Loss) -> Tensor:
    """Mean query loss of every user, ``[U]``."""
    losses = []
    for user, result in enumerate(results):
        _, labels = _real_rows(episodes.query, user)
        losses.append(loss(result.output, labels, labels.new_ones(len(labels))))
    return torch.stack(losses)


def _real_rows(rows: Rows, user: int) -> tuple[Batch, Tensor]:
    keep = rows.mask[user].bool()
    batch = Batch(rows.batch.ids[user][keep], rows.batch.values[user][keep])
    return batch, rows.labels[user][keep]

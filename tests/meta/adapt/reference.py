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
            half_life = adaptation.half_lives[step] if adaptation.half_lives else None
            decay = adaptation.time_decays[step] if adaptation.time_decays else 0.0
            prior: Any = adaptation.prior_rows
            if adaptation.learned:
                half_life, decay, prior = (
                    rates[f"support/{name}"][step]
                    for name in ("half_life", "time_decay", "prior_rows")
                )
            hours = _hours(episodes.support, user)
            weights = labels.new_ones(len(labels))
            for age in range(len(labels)):
                place = len(labels) - 1 - age
                halved = 1.0 if half_life is None else 0.5 ** (age / half_life)
                aged = (1 - hours[place]) ** -decay
                weights = weights.index_put((torch.tensor(place),), halved * aged)
            total = weights.sum()
            share = total.clamp_min(1) / (total + prior).clamp_min(1)
            now = {name: rate for name, rate in rates.items() if "/" not in name}
            if adaptation.per_step:
                now = {name: rate[step].unsqueeze(0) for name, rate in now.items()}
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
        output = functional_call(model, own, (query,))
        if adaptation.residuals is not None:
            output = _corrected(loop, params, output, user)
        results.append(UserResult(own, output))
    return results


def _hours(rows: Rows, user: int) -> Tensor:
    keep = rows.mask[user].bool()
    return torch.zeros_like(rows.mask[user][keep]) if rows.hours is None else rows.hours[user][keep]


def _corrected(loop: InnerLoop, params: Tensors, output: Any, user: int) -> Any:
    """Each logit grows by what the support's residuals say, one pair of rows at a time."""
    rates, episodes = loop.rates, loop.episodes
    support, labels = _real_rows(episodes.support, user)
    kept, asked = (part.mask[user].bool() for part in (episodes.support, episodes.query))
    if not len(labels):
        return output
    with torch.no_grad():
        unadapted = functional_call(loop.model, dict(params), (support,)).log_positive.exp()
    several = labels.ndim > 1
    y, p = (t if several else t.unsqueeze(1) for t in (labels, unadapted))  # [S, T]
    before, after = _hours(episodes.support, user), _hours(episodes.query, user)
    rows = []
    for q in range(int(asked.sum())):
        of_tasks = []
        for task in range(y.shape[1]):
            pulled, known = torch.zeros(()).double(), torch.zeros(()).double()
            for i in range(len(y)):
                if y[i, task].isnan():
                    continue
                weight = 0.5 ** ((len(y) - 1 - i) / rates["residuals/half_life"])
                hours = max(float(after[q] - before[i]), 0.0)
                weight = weight * (1 + hours) ** -rates["residuals/time_decay"]
                if episodes.similarity is not None:
                    alike = episodes.similarity[user][asked][q][kept][i]
                    weight = weight * (alike * rates["residuals/similarity"]).sum().exp()
                pulled = pulled + weight * (y[i, task] - p[i, task])
                known = known + weight * p[i, task] * (1 - p[i, task])
            of_tasks.append(
                rates["residuals/strength"] * pulled / (rates["residuals/prior"] + known)
            )
        rows.append(torch.cat(of_tasks))
    grow = torch.stack(rows)
    odds = output.log_positive - output.log_negative + (grow if several else grow.squeeze(1))
    return output._replace(log_positive=F.logsigmoid(odds), log_negative=F.logsigmoid(-odds))


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

"""Compare adaptation by the default engine with a plain loop over users."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import MAML
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.testing.subject import Subject

USERS, SUPPORT, QUERY, STEPS, RATE = 3, 4, 2, 2, 0.05


def adapts_like_a_plain_loop(subject: Subject) -> None:
    """Query logits after two MAML steps and their gradients match those of a plain loop."""
    episodes = _episodes(subject)
    fast, fast_gradient = _with_gradient(subject, lambda p: _by_engine(subject, p, episodes))
    slow, slow_gradient = _with_gradient(subject, lambda p: _by_loop(subject, p, episodes))
    advice = "use plain torch functions of the batch and the parameters"
    subject.compare(
        fast, slow, f"adapted per user, its predictions differ from a plain loop's; {advice}"
    )
    for name, gradient in slow_gradient.items():
        problem = f"the outer gradient of '{name}' differs from a plain loop's; {advice}"
        subject.compare(fast_gradient[name], gradient, problem)


def _with_gradient(
    subject: Subject, adapt: Callable[[dict[str, Tensor]], Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    params = {name: p.clone().requires_grad_() for name, p in subject.params.items()}
    try:
        logits = adapt(params)
        gradients = torch.autograd.grad(
            logits.sin().sum(), list(params.values()), materialize_grads=True
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        subject.fail(
            f"it cannot be adapted per user ({type(error).__name__}: {reason}); forward runs under "
            "torch.func: no .item(), no branches on tensor values, no in-place writes to tensors "
            "created outside of forward",
            error,
        )
    return logits.detach(), dict(zip(params, gradients, strict=True))


def _by_engine(subject: Subject, params: dict[str, Tensor], episodes: Episodes) -> Tensor:
    adaptation = Adaptation(MAML(RATE), STEPS, tuple(params))
    rates = adaptation.initial_rates(params)
    logits: Tensor = FuncEngine()(subject.model, params, rates, adaptation, episodes, _loss)
    return logits


def _by_loop(subject: Subject, params: dict[str, Tensor], episodes: Episodes) -> Tensor:
    """One user at a time, on full tables, without padding rows."""
    outputs = []
    for user in range(USERS):
        rows = episodes.support.mask[user].bool()
        support = Batch(*(slots[user][rows] for slots in episodes.support.batch))
        labels = episodes.support.labels[user][rows]
        query = Batch(*(slots[user] for slots in episodes.query.batch))
        adapted = params
        with Intercept(Lookups().handlers):  # embedding_bag has no second derivative
            for _ in range(STEPS):
                logits = functional_call(subject.model, adapted, (support,))
                loss = _loss(logits, labels, labels.new_ones(len(labels)))
                gradients = torch.autograd.grad(
                    loss, list(adapted.values()), create_graph=True, materialize_grads=True
                )
                adapted = {
                    name: p - RATE * gradient
                    for (name, p), gradient in zip(adapted.items(), gradients, strict=True)
                }
            outputs.append(functional_call(subject.model, adapted, (query,)))
    return torch.stack(outputs)


def _loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    by_row = losses.sum(-1) if losses.ndim > mask.ndim else losses
    return (by_row * mask).sum() / mask.sum()


def _episodes(subject: Subject) -> Episodes:
    """Episodes in which the first user has one support row fewer than the others."""
    slots = subject.batch(USERS, SUPPORT + QUERY)
    shape = (USERS, SUPPORT + QUERY, *([len(subject.schema.tasks)] if subject.several else []))
    labels = torch.randint(2, shape, generator=subject.generator()).to(slots.values.dtype)
    mask = torch.ones(USERS, SUPPORT + QUERY, dtype=slots.values.dtype)
    mask[0, 0] = 0
    batch = Batch(*(t * mask.unsqueeze(-1).to(t.dtype) for t in slots))

    def rows(part: slice) -> Rows:
        return Rows(Batch(*(t[:, part] for t in batch)), labels[:, part], mask[:, part])

    return Episodes(rows(slice(SUPPORT)), rows(slice(SUPPORT, None)))

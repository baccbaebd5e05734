"""What the engines share that loop over users through another library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from metaselector.common.errors import ConfigError
from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import context_of
from metaselector.meta.adapt.rules import MAML, SHARED, MetaSGD, Tensors
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups


def predict_users(
    episodes: Episodes, predict: Callable[[Batch, Tensor, Tensor, Batch], Any]
) -> Any:
    """Call ``predict(support, labels, mask, query)`` for every user and stack what it returns.

    Padding rows of the support are dropped, so that a user may have none at all; those of the query
    are predicted and left to the caller's mask, as all users must have the same number.

    Args:
        predict: its arguments are one user's slots ``[R, C]``, labels ``[R]``, a mask of ones
            ``[R]``, and slots ``[Q, C]``; it returns a tensor or a named tuple of tensors.
    """
    outputs = []
    for user in range(len(episodes.support.labels)):
        support, labels = _real_rows(episodes.support, user)
        query = Batch(*(slots[user] for slots in episodes.query.batch))
        with Intercept(Lookups().handlers):
            outputs.append(predict(support, labels, labels.new_ones(len(labels)), query))
    if isinstance(outputs[0], Tensor):
        return torch.stack(outputs)
    return type(outputs[0])(*(torch.stack(part) for part in zip(*outputs, strict=True)))


def _real_rows(rows: Rows, user: int) -> tuple[Batch, Tensor]:
    keep = rows.mask[user].bool()
    return Batch(*(slots[user][keep] for slots in rows.batch)), rows.labels[user][keep]


def initial_parameters(model: nn.Module, params: Tensors, names: tuple[str, ...]) -> list[Tensor]:
    """The tensors that every user starts from, in the order of ``model.parameters()``.

    What adapts asks for a gradient, whether or not the outer loop does.
    """

    def start(name: str, p: Tensor) -> Tensor:
        p = p if torch.is_grad_enabled() else p.detach()
        return p.detach().requires_grad_() if name in names and not p.requires_grad else p

    return [start(name, params.get(name, own)) for name, own in model.named_parameters()]


@torch.no_grad()
def fill_context(
    user: nn.Module, model: nn.Module, support: Batch, labels: Tensor, mask: Tensor
) -> None:
    """Put the context of one user into the buffers of `user`, in place.

    Args:
        user: a copy of `model` with buffers of its own and the user's initial parameters.
        support, labels, mask: real rows; where there are none, buffers are those of `model`.
    """
    context = context_of(model)
    for name in context:
        _set_buffer(user, name, model.get_buffer(name))
    if context and len(labels):
        output = user(support)
        for name, function in context.items():
            _set_buffer(user, name, function(output, labels, mask))


def _set_buffer(module: nn.Module, name: str, value: Tensor) -> None:
    owner, _, attribute = name.rpartition(".")
    module.get_submodule(owner)._buffers[attribute] = value


def rates_by_name(adaptation: Adaptation, rates: Tensors) -> list[dict[str, Tensor]]:
    """By step, the rate of every adapted parameter.

    For libraries whose update is ``p - rate * gradient``.

    Raises:
        ConfigError: the rule is another one.
    """
    if not isinstance(adaptation.rule, MAML | MetaSGD):
        raise ConfigError(
            f"rule {type(adaptation.rule).__name__} runs on adapt.engine=func only; "
            "higher and learn2learn run MAML and MetaSGD"
        )
    of_steps = (adaptation.rates_at(step, rates) for step in range(adaptation.steps))
    return [
        {name: rates[SHARED if SHARED in rates else name] for name in adaptation.names}
        for rates in of_steps
    ]

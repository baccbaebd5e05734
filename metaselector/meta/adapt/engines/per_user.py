"""The loop over users that engines of other libraries share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from metaselector.common.errors import ConfigError
from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import Engine, InnerLoop, Step, context_of
from metaselector.meta.adapt.rules import MAML, SHARED, MetaSGD, Tensors
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups


class Learner(ABC):
    """How a library adapts the model to one user after another."""

    @abstractmethod
    def start(self) -> nn.Module:
        """The model with the initial parameters, for the next user."""

    @abstractmethod
    def step(self, module: nn.Module, step: int, loss: Tensor) -> None:
        """Take one inner step down the gradient of a user's `loss`, in place.

        Args:
            module: what :meth:`start` returned.
            step: counted from 0.
        """


class PerUserEngine(Engine):
    """Adapts the users one by one, through a library.

    Padding rows of the support are dropped, so a user may have no support at all. Padding rows of
    the query are predicted and left to the caller's mask, as outputs of all users are stacked.
    """

    @abstractmethod
    def learner(
        self, loop: InnerLoop, names: tuple[str, ...], initial: list[Tensor]
    ) -> AbstractContextManager[Learner]:
        """The library's own inner loop.

        Args:
            names: the parameters that adapt; none where no step is taken.
            initial: where every user starts, in the order of ``model.parameters()``.

        Raises:
            ConfigError: the library cannot run the rule, or not for this model.
        """

    def run(self, loop: InnerLoop, *, every_step: bool) -> list[Step]:
        names = loop.adaptation.names if loop.adaptation.steps else ()
        initial = _initial_parameters(loop.model, loop.params, names)
        users = []
        with self.learner(loop, names, initial) as learner:
            for user in range(len(loop.episodes.support.labels)):
                with Intercept(Lookups().handlers):
                    taken = _steps(loop, names, initial, learner, user, every_step)
                    users.append(list(taken))
        return [_stacked(of_step) for of_step in zip(*users, strict=True)]


def _steps(
    loop: InnerLoop,
    names: tuple[str, ...],
    initial: list[Tensor],
    learner: Learner,
    user: int,
    every_step: bool,
) -> Iterator[Step]:
    """One user's steps, without the axis of users."""
    rows = loop.episodes.support
    support, labels = _real_rows(rows, user)
    hours = None if rows.hours is None else rows.hours[user][rows.mask[user].bool()]
    query = Batch(*(slots[user] for slots in loop.episodes.query.batch))
    mask, adaptation = labels.new_ones(len(labels)), loop.adaptation
    module = learner.start()
    _fill_context(module, loop.model, support, labels, mask)
    if every_step:
        yield Step(module(query), {})
    for step in range(adaptation.steps):
        if names and len(labels):
            with torch.enable_grad():
                weights = adaptation.support_weights(step, mask, hours, loop.rates)
                loss = loop.loss(module(support), labels, weights)
                learner.step(module, step, adaptation.shrunk(loss, weights, step, loop.rates))
        if every_step:
            yield Step(module(query), _squares(loop.model, module, initial, names))
    if not every_step:
        yield Step(module(query), {})


@torch.no_grad()
def _squares(
    model: nn.Module, module: nn.Module, initial: list[Tensor], names: tuple[str, ...]
) -> dict[str, Tensor]:
    """See :class:`Step`; each a scalar."""
    of = (name for name, _ in model.named_parameters())
    now = zip(of, module.parameters(), initial, strict=True)
    squares = {name: (own - start).double().square().sum() for name, own, start in now}
    return {name: squares[name] for name in names}


def _stacked(users: Sequence[Step]) -> Step:
    """One step of all users."""
    outputs = [user.output for user in users]
    if isinstance(outputs[0], Tensor):
        output: Any = torch.stack(outputs)
    else:
        output = type(outputs[0])(*map(torch.stack, zip(*outputs, strict=True)))
    squares = {
        name: torch.stack([user.squares[name] for user in users]) for name in users[0].squares
    }
    return Step(output, squares)


def _real_rows(rows: Rows, user: int) -> tuple[Batch, Tensor]:
    keep = rows.mask[user].bool()
    return Batch(*(slots[user][keep] for slots in rows.batch)), rows.labels[user][keep]


def _initial_parameters(model: nn.Module, params: Tensors, names: tuple[str, ...]) -> list[Tensor]:
    """The initial tensors of every user, in the order of ``model.parameters()``.

    Adapted parameters require gradients, whether or not the outer loop does.
    """

    def start(name: str, p: Tensor) -> Tensor:
        p = p if torch.is_grad_enabled() else p.detach()
        return p.detach().requires_grad_() if name in names and not p.requires_grad else p

    return [start(name, params.get(name, own)) for name, own in model.named_parameters()]


@torch.no_grad()
def _fill_context(
    user: nn.Module, model: nn.Module, support: Batch, labels: Tensor, mask: Tensor
) -> None:
    """Put the context of one user into the buffers of `user`, in place.

    Args:
        user: a copy of `model` with its own buffers and the user's initial parameters.
        support, labels, mask: real rows; without any, the buffers are those of `model`.
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
    """The rate of every adapted parameter, for each step.

    For libraries whose update is ``p - rate * gradient``.

    Raises:
        ConfigError: the rule is neither MAML nor MetaSGD.
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

"""An engine that loops over users through the library higher (Grefenstette et al., 2019).

``higher.innerloop_ctx`` makes the model stateless and SGD differentiable; ``diffopt.step`` makes an
inner step. Our rates go in as SGD's learning rates, one parameter group a tensor, through higher's
``override``; first order detaches the inner gradients in higher's ``grad_callback``. The model is
patched once for all users: once a user, as usual, copies all parameters every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from metaselector.common.extras import install_extra
from metaselector.meta.adapt.contract import InnerLoop
from metaselector.meta.adapt.engines import import_library
from metaselector.meta.adapt.engines.per_user import Learner, PerUserEngine, rates_by_name


class HigherEngine(PerUserEngine):
    """Runs the rules MAML and MetaSGD.

    Raises:
        UserError: higher is not installed.
    """

    def __init__(self) -> None:
        self._higher = import_library("higher", f"`{install_extra('higher')}`")

    @contextmanager
    def learner(
        self, loop: InnerLoop, names: tuple[str, ...], initial: list[Tensor]
    ) -> Iterator[Learner]:
        own = dict(loop.model.named_parameters())
        # A model of which nothing adapts still needs one group: an optimizer cannot be empty.
        groups = [{"params": [own[name]]} for name in names or list(own)[:1]]
        rates = rates_by_name(loop.adaptation, loop.rates) if names else []
        with self._higher.innerloop_ctx(
            loop.model,
            torch.optim.SGD(groups, lr=1.0),
            copy_initial_weights=False,
            track_higher_grads=torch.is_grad_enabled(),
        ) as (patched, optimizer):
            second_order = loop.adaptation.rule.second_order
            yield _Patched(patched, optimizer, initial, rates, second_order)


class _Patched(Learner):
    """The patched model and its optimizer."""

    def __init__(
        self,
        patched: Any,
        optimizer: Any,
        initial: list[Tensor],
        rates: list[dict[str, Tensor]],
        second_order: bool,
    ) -> None:
        self._patched, self._optimizer, self._initial = patched, optimizer, initial
        self._overrides = [{"lr": list(of_step.values())} for of_step in rates]
        self._callback = None if second_order else _detach

    def start(self) -> nn.Module:
        del self._patched._fast_params[1:]  # it would keep every step of every user
        self._patched.update_params(self._initial)
        module: nn.Module = self._patched
        return module

    def step(self, module: nn.Module, step: int, loss: Tensor) -> None:
        self._optimizer.step(loss, override=self._overrides[step], grad_callback=self._callback)


def _detach(grads: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    return [None if grad is None else grad.detach() for grad in grads]

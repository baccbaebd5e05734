"""An engine that loops over users through the library learn2learn (Arnold et al., 2020).

Every user gets a ``clone_module`` of the model, as from ``MAML.clone`` and ``MetaSGD.clone``, and
every inner step is a ``maml_update`` or ``meta_sgd_update``, as in their ``adapt``. The gradients
between the two are taken here: ``adapt`` knows no adapted set smaller than the whole model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from metaselector.common.errors import ConfigError
from metaselector.meta.adapt.contract import InnerLoop
from metaselector.meta.adapt.engines import import_library, without_init
from metaselector.meta.adapt.engines.per_user import Learner, PerUserEngine, rates_by_name
from metaselector.meta.adapt.rules import MAML, Tensors


class Learn2learnEngine(PerUserEngine):
    """Runs the rules MAML and MetaSGD.

    Raises:
        UserError: learn2learn is not installed.
    """

    def __init__(self) -> None:
        install = "`make peers` (its 0.2.0 does not build as published)"
        with without_init("learn2learn"):  # which imports torchvision, gym and others
            self._algorithms = import_library("learn2learn.algorithms", install)
            self._clone = import_library("learn2learn.utils", install).clone_module

    @contextmanager
    def learner(
        self, loop: InnerLoop, names: tuple[str, ...], initial: list[Tensor]
    ) -> Iterator[Learner]:
        yield _Cloned(self._algorithms, self._clone, loop, names, initial)


class _Cloned(Learner):
    """A clone of the model for each user.

    Raises:
        ConfigError: Meta-SGD is to adapt a parameter that the model uses under two names.
    """

    def __init__(
        self,
        algorithms: Any,
        clone: Any,
        loop: InnerLoop,
        names: tuple[str, ...],
        initial: list[Tensor],
    ) -> None:
        self._algorithms, self._clone = algorithms, clone
        self._names, self._rule = names, loop.adaptation.rule
        self._rates = rates_by_name(loop.adaptation, loop.rates) if names else []
        self._create_graph = torch.is_grad_enabled() and self._rule.second_order
        once = () if isinstance(self._rule, MAML) else names  # meta_sgd_update's own limit
        self._initial = self._filled(loop.model, initial, once)

    def start(self) -> nn.Module:
        with torch.enable_grad():
            module: nn.Module = self._clone(self._initial)
        return module

    def step(self, module: nn.Module, step: int, loss: Tensor) -> None:
        own = dict(module.named_parameters())
        grads = torch.autograd.grad(
            loss,
            [own[name] for name in self._names],
            create_graph=self._create_graph,
            materialize_grads=True,
        )
        self._update(module, self._rates[step], dict(zip(self._names, grads, strict=True)))

    def _filled(self, model: nn.Module, tensors: list[Tensor], once: tuple[str, ...]) -> nn.Module:
        """A clone of `model` that holds `tensors` themselves, so that gradients reach them."""
        named = zip(model.named_parameters(), tensors, strict=True)
        tensor_of = {id(own): (name, tensor) for (name, own), tensor in named}
        clone: nn.Module = self._clone(model)
        for name, own in model.named_parameters(remove_duplicate=False):
            first, tensor = tensor_of[id(own)]
            if name != first and first in once:
                raise ConfigError(
                    f"'{name}' is '{first}': Meta-SGD of learn2learn adapts only one; use func"
                )
            module, _, attribute = name.rpartition(".")
            clone.get_submodule(module)._parameters[attribute] = tensor  # type: ignore[assignment]
        return clone

    def _update(self, module: nn.Module, rates: Tensors, grads: Tensors) -> None:
        """Take one step, in place on the user's clone."""
        names = [name for name, _ in module.named_parameters()]
        if isinstance(self._rule, MAML):
            # It knows one rate only; ours may differ between theta and phi.
            scaled = [rates[name] * grads[name] if name in grads else None for name in names]
            self._algorithms.maml_update(module, 1.0, scaled)
            return
        with warnings.catch_warnings():
            # It asks every parameter for .grad, also those that do not adapt and have none.
            warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor")
            self._algorithms.meta_sgd_update(
                module, [rates.get(name) for name in names], [grads.get(name) for name in names]
            )

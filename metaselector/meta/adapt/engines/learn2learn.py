"""An engine that loops over users through the library learn2learn (Arnold et al., 2020).

Every user gets a ``clone_module`` of the model, as from ``MAML.clone`` and ``MetaSGD.clone``, and
every inner step is a ``maml_update`` or ``meta_sgd_update``, as in their ``adapt``. The gradients
between the two are taken here: ``adapt`` knows no adapted set smaller than the whole model.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from metaselector.common.errors import ConfigError
from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import Loss
from metaselector.meta.adapt.engines.optional import import_library, without_init
from metaselector.meta.adapt.engines.per_user import (
    fill_context,
    initial_parameters,
    predict_users,
    rates_by_name,
)
from metaselector.meta.adapt.rules import MAML, InnerRule, Tensors


class Learn2learnEngine:
    """See :class:`metaselector.meta.adapt.contract.Engine`; runs the rules MAML and MetaSGD.

    Raises:
        UserError: learn2learn is not installed.
    """

    def __init__(self) -> None:
        install = "`make peers` (its 0.2.0 does not build as published)"
        with without_init("learn2learn"):  # which imports torchvision, gym and others
            self._algorithms = import_library("learn2learn.algorithms", install)
            self._clone = import_library("learn2learn.utils", install).clone_module

    def __call__(
        self,
        model: nn.Module,
        params: Tensors,
        rates: Tensors,
        adaptation: Adaptation,
        episodes: Episodes,
        loss: Loss,
    ) -> Any:
        outer, rule = torch.is_grad_enabled(), adaptation.rule
        names = adaptation.names if adaptation.steps else ()
        rates_of_steps = rates_by_name(adaptation, rates) if names else []
        once = () if isinstance(rule, MAML) else names  # meta_sgd_update's own limit
        initial = self._start(model, initial_parameters(model, params, names), once)

        def predict(support: Batch, labels: Tensor, mask: Tensor, query: Batch) -> Any:
            with torch.enable_grad():
                learner = self._clone(initial)
                fill_context(learner, model, support, labels, mask)
                for step, rate_of in enumerate(rates_of_steps if len(labels) else []):
                    own = dict(learner.named_parameters())
                    weights = adaptation.support_weights(step, mask)
                    support_loss = loss(learner(support), labels, weights)
                    grads = torch.autograd.grad(
                        adaptation.shrunk(support_loss, weights),
                        [own[name] for name in names],
                        create_graph=outer and rule.second_order,
                        materialize_grads=True,
                    )
                    self._update(rule, learner, rate_of, dict(zip(names, grads, strict=True)))
            return learner(query)

        return predict_users(episodes, predict)

    def _start(self, model: nn.Module, tensors: list[Tensor], once: tuple[str, ...]) -> nn.Module:
        """A clone of `model` that holds `tensors` themselves, so that gradients reach them.

        Raises:
            ConfigError: the model uses a parameter in `once` under another name too.
        """
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

    def _update(self, rule: InnerRule, learner: nn.Module, rates: Tensors, grads: Tensors) -> None:
        """One step, in place on the user's clone."""
        names = [name for name, _ in learner.named_parameters()]
        if isinstance(rule, MAML):
            # It knows one rate only; ours may differ between theta and phi.
            scaled = [rates[name] * grads[name] if name in grads else None for name in names]
            self._algorithms.maml_update(learner, 1.0, scaled)
            return
        with warnings.catch_warnings():
            # It asks every parameter for .grad, also those that do not adapt and have none.
            warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor")
            self._algorithms.meta_sgd_update(
                learner, [rates.get(name) for name in names], [grads.get(name) for name in names]
            )

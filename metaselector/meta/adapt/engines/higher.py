"""An engine that loops over users through the library higher (Grefenstette et al., 2019).

``higher.innerloop_ctx`` makes the model stateless and SGD differentiable; ``diffopt.step`` makes an
inner step. Our rates go in as SGD's learning rates, one parameter group a tensor, through higher's
``override``; first order detaches the inner gradients in higher's ``grad_callback``. The model is
patched once for all users: once a user, as usual, copies all parameters every time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import Loss
from metaselector.meta.adapt.engines.optional import import_library
from metaselector.meta.adapt.engines.per_user import (
    fill_context,
    initial_parameters,
    predict_users,
    rates_by_name,
)
from metaselector.meta.adapt.rules import Tensors


class HigherEngine:
    """See :class:`metaselector.meta.adapt.contract.Engine`; runs the rules MAML and MetaSGD.

    Raises:
        UserError: higher is not installed.
    """

    def __init__(self) -> None:
        self._higher = import_library("higher", "`pip install 'metaselector[higher]'`")

    def __call__(
        self,
        model: nn.Module,
        params: Tensors,
        rates: Tensors,
        adaptation: Adaptation,
        episodes: Episodes,
        loss: Loss,
    ) -> Any:
        outer = torch.is_grad_enabled()
        names = adaptation.names if adaptation.steps else ()
        initial = initial_parameters(model, params, names)
        own = dict(model.named_parameters())
        # A model of which nothing adapts still needs one group: an optimizer cannot be empty.
        groups = [{"params": [own[name]]} for name in names or list(own)[:1]]
        overrides = [
            {"lr": list(of_step.values())} for of_step in rates_by_name(adaptation, rates) if names
        ]
        callback = None if adaptation.rule.second_order else _detach

        with self._higher.innerloop_ctx(
            model,
            torch.optim.SGD(groups, lr=1.0),
            copy_initial_weights=False,
            track_higher_grads=outer,
        ) as (patched, optimizer):

            def predict(support: Batch, labels: Tensor, mask: Tensor, query: Batch) -> Any:
                del patched._fast_params[1:]  # it would keep every step of every user
                patched.update_params(initial)
                fill_context(patched, model, support, labels, mask)
                if names and len(labels):
                    with torch.enable_grad():
                        for step, override in enumerate(overrides):
                            weights = adaptation.support_weights(step, mask)
                            support_loss = loss(patched(support), labels, weights)
                            optimizer.step(
                                adaptation.shrunk(support_loss, weights),
                                override=override,
                                grad_callback=callback,
                            )
                return patched(query)

            return predict_users(episodes, predict)


def _detach(grads: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    return [None if grad is None else grad.detach() for grad in grads]

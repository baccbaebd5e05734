"""The default engine: all users of a meta-batch at once, through torch.func.

The model is written for one user; ``vmap`` gives every user parameters of their own. Because users
are independent, the gradient of the summed support losses with respect to the stacked parameters is
the stack of the users' gradients, so the inner gradient is an ordinary autograd call outside of
``vmap``, and the outer one flows through it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from metaselector.adapt.engine import Adaptation, Loss
from metaselector.adapt.rules import Tensors
from metaselector.adapt.touched import touched_rows
from metaselector.data.batch import Batch
from metaselector.data.episodes import Episodes


class Adapted(NamedTuple):
    """The users' parameters after the inner loop.

    Attributes:
        own: what each user has of their own, first axis U; a table holds the rows that the user
            touches, ``[U, L, ...]``.
        shared: what all users read.
        rows: int64 ``[U, L]``, the ids behind the tables' rows; None where all tables are shared.
        episodes: the episodes, with ids that index the tables of `own`, or of `shared`.
    """

    own: dict[str, Tensor]
    shared: dict[str, Tensor]
    rows: Tensor | None
    episodes: Episodes


class FuncEngine:
    """See :class:`metaselector.adapt.engine.Engine`."""

    def __call__(
        self,
        model: nn.Module,
        params: Tensors,
        rates: Tensors,
        adaptation: Adaptation,
        episodes: Episodes,
        loss: Loss,
    ) -> Any:
        own, shared, _, episodes = self.adapt(model, params, rates, adaptation, episodes, loss)
        return _forward(model, own, shared, episodes.query.batch)

    def adapt(
        self,
        model: nn.Module,
        params: Tensors,
        rates: Tensors,
        adaptation: Adaptation,
        episodes: Episodes,
        loss: Loss,
    ) -> Adapted:
        """Run the inner loop only; arguments as for the call."""
        outer = torch.is_grad_enabled()
        tables: frozenset[str] = frozenset(model.tables)  # type: ignore[arg-type]
        names = adaptation.names if adaptation.steps else ()
        shared = {name: p for name, p in params.items() if name not in names}
        fixed: dict[str, Tensor] = {}  # rows of the tables that do not adapt
        rows = None
        if not tables.isdisjoint(names):
            # The ids will be local, so every table must be: a missing one is a KeyError.
            rows, episodes = touched_rows(episodes)
            fixed = {name: shared.pop(name)[rows] for name in sorted(tables.difference(names))}
            rates = {
                name: rate[rows] if name in tables and rate.shape == params[name].shape else rate
                for name, rate in rates.items()
            }
        users = len(episodes.support.labels)
        adapted = {
            name: params[name][rows]  # [U, L, ...]
            if name in tables
            else params[name].expand(users, *params[name].shape)
            for name in names
        }

        def differentiable(p: Tensor) -> Tensor:
            return p if outer and p.requires_grad else p.detach().requires_grad_()

        support = episodes.support
        create_graph = outer and adaptation.rule.second_order
        with torch.enable_grad():
            for _ in range(adaptation.steps):
                adapted = {name: differentiable(p) for name, p in adapted.items()}
                output = _forward(model, {**fixed, **adapted}, shared, support.batch)
                total = vmap(loss)(output, support.labels, support.mask).sum()
                grads = torch.autograd.grad(
                    total, list(adapted.values()), create_graph=create_graph, materialize_grads=True
                )
                adapted = adaptation.rule.update(
                    adapted, dict(zip(adapted, grads, strict=True)), rates
                )
        if not outer:
            adapted = {name: p.detach() for name, p in adapted.items()}
        return Adapted({**fixed, **adapted}, shared, rows, episodes)


def _forward(model: nn.Module, own: Tensors, shared: Tensors, batch: Batch) -> Any:
    """Outputs with leading axes ``[U, R]`` for slots ``[U, R, C]``."""

    def one_user(own: Tensors, ids: Tensor, values: Tensor) -> Any:
        return functional_call(model, {**own, **shared}, (Batch(ids, values),))

    return vmap(one_user, randomness="different")(own, *batch)

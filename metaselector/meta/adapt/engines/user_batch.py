"""The users of a meta-batch, who adapt all at once.

The model is written for one user; ``vmap`` gives every user their own parameters. Because users are
independent, the gradient of the summed support losses with respect to the stacked parameters is the
stack of the users' gradients. So the inner gradient is an ordinary autograd call outside of
``vmap``, and the outer gradient flows through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.contract import InnerLoop, context_of
from metaselector.meta.adapt.engines.factored import FactoredLinears, UserWeights
from metaselector.meta.adapt.rules import SHARED, Tensors, is_plain
from metaselector.meta.adapt.touched import LocalEpisodes, adapts_tables, localized, rows_of_users
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.models.kernels.replay import Fixed, Recorder, recordable
from metaselector.models.kernels.trees import detached

_RATE = "rate/"
"""Prefix of a table's name, for the rows of its rates."""


class Adapted(NamedTuple):
    """The users' parameters after the inner loop.

    Attributes:
        own: the parameters that differ between users, first axis U; a table holds the rows that
            the user touches, ``[U, L, ...]``.
        shared: the parameters that all users read.
        rows: int64 ``[U, L]``, the ids of the tables' rows; None if all tables are shared.
        episodes: the episodes, with ids that index the tables of `own` or `shared`.
    """

    own: dict[str, Tensor]
    shared: dict[str, Tensor]
    rows: Tensor | None
    episodes: Episodes


class UserBatch:
    """The parameters of the users of a meta-batch, and the model that reads them.

    Attributes:
        first: outputs on the support in the first step, before anything adapts, without gradients.
    """

    first: Any

    def __init__(
        self, loop: InnerLoop, factored: set[str], recorder: Recorder | None = None
    ) -> None:
        model, params, rates, adaptation, episodes, _ = loop
        tables: frozenset[str] = frozenset(model.tables)  # type: ignore[arg-type]
        names = adaptation.names if adaptation.steps else ()
        self.loop, self.model = loop, model
        self.users = len(episodes.support.labels)
        self.tied = _shares_parameters(model)
        self.lookups = Lookups()
        records = recorder is not None and not torch.is_grad_enabled()
        records = records and is_plain(adaptation.rule) and recordable(model)
        self.recorder = recorder if records else None
        self._named = model, model.training
        self._constants = list(model.buffers())
        self.rows: Tensor | None = None
        self.episodes = episodes
        self.rates = dict(rates)  # a table's are those of its gathered rows
        self.shared = {name: p for name, p in params.items() if name not in names}
        # Each user's own but not adapted: rows of the other tables, and the context.
        self.fixed: dict[str, Tensor] = {}
        gathered: dict[str, Tensor] = {}
        if adapts_tables(model, adaptation):
            # The ids will be local, so every table must be: a missing one is a KeyError.
            if not isinstance(episodes, LocalEpisodes):
                episodes = localized(episodes, padded=self.recorder is not None)
            self.episodes, self.rows = episodes, episodes.rows
            of_tables = {name: params[name] for name in sorted(tables)}
            of_tables |= {
                f"{_RATE}{name}": rate
                for name, rate in rates.items()
                if name in tables and rate.shape == params[name].shape
            }
            gathered = self.lookups.gather(of_tables, episodes.rows)
            for name in sorted(tables.difference(names)):
                del self.shared[name]
                self.fixed[name] = gathered[name]
            for key in gathered:
                if key not in tables:
                    self.rates[key.removeprefix(_RATE)] = gathered[key]
        self.weights = {name: UserWeights(params[name]) for name in names if name in factored}
        self.own = {
            name: gathered[name]
            if name in gathered
            else params[name].expand(self.users, *params[name].shape)
            for name in names
            if name not in factored
        }
        self.start = self.own
        if context := context_of(model):
            support = self.episodes.support
            with torch.no_grad():
                output = self.forward(support.batch)
                self.fixed |= {
                    name: vmap(function)(output, support.labels, support.mask)
                    for name, function in context.items()
                }

    def steps(self, first: int = 0) -> Iterator[int]:
        """Take the inner steps from `first`, and stop after each to say which it was, from 0."""
        adaptation, support = self.loop.adaptation, self.episodes.support
        rows = *support.batch, support.labels
        take = self._step if self.recorder is None else self._recorded(self.recorder, Fixed(rows))
        for step in range(first, adaptation.steps):
            rates = adaptation.rates_at(step, self.rates)
            weights = adaptation.support_weights(step, support.mask, support.hours, self.rates)
            scale = partial(adaptation.shrinkage, weights, step, self.rates)
            output = take(rows, rates, weights, scale)
            if not step:
                self.first = detached(output)  # else it keeps all of the step's memory
            yield step

    def _step(
        self,
        rows: tuple[Tensor, Tensor, Tensor],
        rates: Tensors,
        weights: Tensor,
        scale: Callable[[], Tensor | None],
    ) -> Any:
        """Take one step.

        Args:
            rows: ids, values and labels of the support.
            rates: of this step, by name.
            weights: of the rows in the loss, ``[U, S]``.
            scale: returns that of the users' losses, ``[U]``; None for 1. It is asked for after the
                forward pass, as the order of operations decides how gradients round.

        Returns:
            outputs on the support before it.
        """
        rule, loss = self.loop.adaptation.rule, self.loop.loss
        outer = torch.is_grad_enabled()
        create_graph = outer and rule.second_order
        ids, values, labels = rows
        with torch.enable_grad():
            own = {
                name: p if outer and p.requires_grad else p.detach().requires_grad_()
                for name, p in self.own.items()
            }
            self.own = own
            output = self.forward(Batch(ids, values))
            uses = self.linears.uses()
            losses = vmap(loss)(output, labels, weights)
            scaling = scale()
            total = (losses if scaling is None else losses * scaling).sum()
            grads = torch.autograd.grad(
                total,
                [*own.values(), *(use.outputs for use in uses)],
                create_graph=create_graph,
                materialize_grads=True,
            )
        by_name = dict(zip(own, grads, strict=False))
        self.own = rule.update(own, by_name, rates)
        for use, derivatives in zip(uses, grads[len(own) :], strict=True):
            inputs = use.inputs if create_graph else use.inputs.detach()
            rate = rates[SHARED if SHARED in rates else use.name]
            self.weights[use.name] = self.weights[use.name].step(rate, inputs, derivatives)
        return output

    def _recorded(self, recorder: Recorder, fixed: Fixed) -> Callable[..., Any]:
        """:meth:`_step` for the same rows, from a recording if there is one."""
        rule = self.loop.adaptation.rule
        name = ("step", type(rule), rule.second_order, self.loop.loss, *self._named)

        def step(given: Any, rows: Any) -> Any:
            state, rates, weights, scaling = given
            users = self._with(state)
            output = users._step(rows, rates, weights, lambda: scaling)
            return users.own, users._changes, output

        def take(rows: Any, rates: Tensors, weights: Tensor, scale: Callable[[], Any]) -> Any:
            def plain() -> Any:
                output = self._step(rows, rates, weights, scale)
                return self.own, self._changes, output

            given = self._state, rates, weights, scale()
            found = recorder(name, step, given, fixed, plain, self._constants)
            self.own, changes, output = found
            for key, of in changes.items():
                self.weights[key] = replace(self.weights[key], changes=of)
            return output

        return take

    @property
    def _changes(self) -> dict[str, Any]:
        return {name: weight.changes for name, weight in self.weights.items()}

    @property
    def _state(self) -> Any:
        """Everything that outputs depend on, but the rows."""
        starts = {name: weight.start for name, weight in self.weights.items()}
        return self.own, starts, self._changes, self.fixed, self.shared

    def _with(self, state: Any) -> UserBatch:
        """The same users with another :attr:`_state`, and lookups that know nothing."""
        users = copy(self)
        users.own, starts, changes, users.fixed, users.shared = state
        users.weights = {name: UserWeights(starts[name], changes[name]) for name in starts}
        users.lookups = Lookups()
        return users

    def adapt(self) -> None:
        """Take all inner steps."""
        for _ in self.steps():
            pass

    def predict(self) -> Any:
        """Outputs on the query."""
        batch = self.episodes.query.batch
        if self.recorder is None:
            return self.forward(batch)
        return self.recorder(
            ("predict", *self._named),
            lambda state, batch: self._with(state).forward(batch),
            self._state,
            Fixed(batch),
            lambda: self.forward(batch),
            self._constants,
        )

    def predict_rows(self, episodes: Episodes) -> Any:
        """Outputs on the query of other episodes with the same support.

        Rows of tables that the support does not touch have their initial values.
        """
        if self.rows is None:
            return self.forward(episodes.query.batch)
        before = self.episodes.support.batch.ids.flatten(1)
        rows, episodes = rows_of_users(Episodes(self.loop.episodes.support, episodes.query))
        now = episodes.support.batch.ids.flatten(1)
        users = torch.arange(self.users, device=now.device).unsqueeze(1)
        tables: frozenset[str] = frozenset(self.model.tables)  # type: ignore[arg-type]
        own = {**self.fixed, **self.own}
        start = {name: self.loop.params[name] for name in sorted(tables.intersection(own))}
        for name, table in self.lookups.gather(start, rows).items():
            own[name] = table.index_put((users, now), own[name][users, before])
        return self.forward(episodes.query.batch, own)

    @torch.no_grad()
    def squares(self) -> dict[str, Tensor]:
        """See :class:`Step`."""
        own, start = self.adapted().own, {n: weight.start for n, weight in self.weights.items()}
        start |= self.start
        return {
            name: (own[name] - start[name]).double().square().flatten(1).sum(1)
            for name in self.loop.adaptation.names
        }

    def forward(self, batch: Batch, own: Tensors | None = None) -> Any:
        """Outputs with leading axes ``[U, R]`` for slots ``[U, R, C]``.

        Args:
            own: what differs between users, by default what they have adapted to.
        """
        own = {**self.fixed, **self.own} if own is None else own
        starts = {name: weight.start for name, weight in self.weights.items()}
        shared = {**self.shared, **starts}
        self.linears = FactoredLinears(self.weights, self.users)
        handlers = {**self.lookups.handlers, **self.linears.handlers}

        def one_user(own: Tensors, ids: Tensor, values: Tensor) -> Any:
            with Intercept(handlers, starts, self.linears.handlers):
                return functional_call(
                    self.model, {**own, **shared}, (Batch(ids, values),), tie_weights=self.tied
                )

        return vmap(one_user, randomness="different")(own, *batch)

    def adapted(self) -> Adapted:
        formed = {name: weight.formed(self.users) for name, weight in self.weights.items()}
        return Adapted({**self.fixed, **self.own, **formed}, self.shared, self.rows, self.episodes)


def _shares_parameters(model: nn.Module) -> bool:
    """Whether a parameter has several names, which takes time to look up in every pass."""
    found = [id(p) for _, p in model.named_parameters(remove_duplicate=False)]
    return len(found) > len(set(found))

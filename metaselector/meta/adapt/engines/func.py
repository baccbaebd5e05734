"""The default engine: all users of a meta-batch at once, through torch.func.

The model is written for one user; ``vmap`` gives every user their own parameters. Because users are
independent, the gradient of the summed support losses with respect to the stacked parameters is the
stack of the users' gradients. So the inner gradient is an ordinary autograd call outside of
``vmap``, and the outer gradient flows through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.contract import Engine, InnerLoop, Predictor, Step, context_of
from metaselector.meta.adapt.engines.factored import FactoredLinears, UserWeights, factorable
from metaselector.meta.adapt.rules import MAML, SHARED, MetaSGD, Tensors
from metaselector.meta.adapt.touched import rows_of_users
from metaselector.models.kernels.intercept import Intercept, UnexpectedUse, has_private_names
from metaselector.models.kernels.lookups import Lookups

T = TypeVar("T")
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


class FuncEngine(Engine):
    """Runs every rule."""

    def run(self, loop: InnerLoop, *, every_step: bool) -> list[Step]:
        def take(users: _UserBatch) -> list[Step]:
            if every_step:
                return [Step(users.predict(), users.squares()) for _ in users.steps()]
            users.adapt()
            return [Step(users.predict(), {})]

        if not every_step:
            return _with_factored(loop, take)
        unadapted = loop._replace(adaptation=loop.adaptation.with_steps(0))
        return self.run(unadapted, every_step=False) + _with_factored(loop, take)

    def with_unadapted(self, loop: InnerLoop) -> tuple[Any, Any]:
        if not loop.adaptation.steps:
            return super().with_unadapted(loop)

        def take(users: _UserBatch) -> tuple[Any, Any]:
            users.adapt()
            return users.predict(), users.first  # the first step has predicted the support

        return _with_factored(loop, take)

    @torch.no_grad()
    def after(self, loop: InnerLoop) -> Predictor:
        # Another rule might change rows of tables that no support row reads.
        if type(loop.adaptation.rule) not in (MAML, MetaSGD):
            return super().after(loop)
        support = loop.episodes.support

        def take(users: _UserBatch) -> Predictor:
            users.adapt()
            return torch.no_grad()(users.predict_rows)

        return _with_factored(loop._replace(episodes=Episodes(support, support)), take)

    def adapt(self, loop: InnerLoop) -> Adapted:
        """Run the inner loop only."""

        def adapt(users: _UserBatch) -> Adapted:
            users.adapt()
            return users.adapted()

        return _with_factored(loop, adapt)


class _UserBatch:
    """The parameters of the users of a meta-batch, and the model that reads them.

    Attributes:
        first: outputs on the support in the first step, before anything adapts.
    """

    first: Any

    def __init__(self, loop: InnerLoop, factored: set[str]) -> None:
        model, params, rates, adaptation, episodes, _ = loop
        tables: frozenset[str] = frozenset(model.tables)  # type: ignore[arg-type]
        names = adaptation.names if adaptation.steps else ()
        self.loop, self.model = loop, model
        self.users = len(episodes.support.labels)
        self.tied = _shares_parameters(model)
        self.lookups = Lookups()
        self.rows: Tensor | None = None
        self.episodes = episodes
        self.rates = dict(rates)  # a table's are those of its gathered rows
        self.shared = {name: p for name, p in params.items() if name not in names}
        # Each user's own but not adapted: rows of the other tables, and the context.
        self.fixed: dict[str, Tensor] = {}
        gathered: dict[str, Tensor] = {}
        if not tables.isdisjoint(names):
            # The ids will be local, so every table must be: a missing one is a KeyError.
            rows, self.episodes = rows_of_users(episodes)
            self.rows = rows
            of_tables = {name: params[name] for name in sorted(tables)}
            of_tables |= {
                f"{_RATE}{name}": rate
                for name, rate in rates.items()
                if name in tables and rate.shape == params[name].shape
            }
            gathered = self.lookups.gather(of_tables, rows)
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

    def steps(self) -> Iterator[int]:
        """Take the inner steps, and stop after each to say which it was, counted from 0."""
        adaptation, loss = self.loop.adaptation, self.loop.loss
        outer = torch.is_grad_enabled()
        support = self.episodes.support
        create_graph = outer and adaptation.rule.second_order
        for step in range(adaptation.steps):
            rates = adaptation.rates_at(step, self.rates)
            weights = adaptation.support_weights(step, support.mask, support.hours, self.rates)
            with torch.enable_grad():
                own = {
                    name: p if outer and p.requires_grad else p.detach().requires_grad_()
                    for name, p in self.own.items()
                }
                self.own = own
                output = self.forward(support.batch)
                if not step:
                    self.first = output
                uses = self.linears.uses()
                losses = vmap(loss)(output, support.labels, weights)
                total = adaptation.shrunk(losses, weights, step, self.rates).sum()
                grads = torch.autograd.grad(
                    total,
                    [*own.values(), *(use.outputs for use in uses)],
                    create_graph=create_graph,
                    materialize_grads=True,
                )
            by_name = dict(zip(own, grads, strict=False))
            self.own = adaptation.rule.update(own, by_name, rates)
            for use, derivatives in zip(uses, grads[len(own) :], strict=True):
                inputs = use.inputs if create_graph else use.inputs.detach()
                rate = rates[SHARED if SHARED in rates else use.name]
                self.weights[use.name] = self.weights[use.name].step(rate, inputs, derivatives)
            yield step

    def adapt(self) -> None:
        """Take all inner steps."""
        for _ in self.steps():
            pass

    def predict(self) -> Any:
        """Outputs on the query."""
        return self.forward(self.episodes.query.batch)

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


def _with_factored(loop: InnerLoop, run: Callable[[_UserBatch], T]) -> T:
    """``run(users)``, where as many weights are factored as the model's use of them allows.

    Which do is found out by trying.
    """
    model, rates, adaptation = loop.model, loop.rates, loop.adaptation
    factored: set[str] = set()
    # Only those rules make a step of a rate times the gradient.
    if type(adaptation.rule) in (MAML, MetaSGD) and has_private_names():
        rows = adaptation.steps * loop.episodes.support.labels.shape[1]
        factored = {
            name
            for name in factorable(model, rows).intersection(adaptation.names)
            if SHARED in rates or adaptation.per_step or rates[name].numel() == 1
        }
    while True:
        try:
            return run(_UserBatch(loop, factored))
        except UnexpectedUse as use:
            factored = factored - {use.name}

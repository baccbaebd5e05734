"""The whole episode inside one module's forward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.adaptation import Adaptation, is_number
from metaselector.meta.adapt.contract import Engine, Loss
from metaselector.meta.adapt.residuals import RESIDUALS, SIMILARITY
from metaselector.meta.adapt.rules import Tensors, is_plain
from metaselector.meta.adapt.touched import (
    adapts_tables,
    as_tree,
    localized,
    of_tree,
    rounded_up,
    rows_of_batch,
)
from metaselector.models.kernels.replay import Fixed, Recorder, recordable
from metaselector.models.kernels.rows import index_rows, take_tables

_RATE = "rate/"
"""Prefix of a table's name, for the rows of its rates."""


class EpisodeLoss(nn.Module):
    """Adapt on support, predict the query, return the query loss.

    Everything the outer loop learns is a parameter of this module, so that a wrapper such as
    DistributedDataParallel sees the inner loop as one forward pass.

    Args:
        model: the network that adapts.
        rates: where the inner learning rates and the other learned numbers start, by name.
        adaptation: what the inner loop does.
        engine: what runs the inner loop.
        loss: mean loss of rows: of one user in the inner loop, of all query rows together in the
            outer loop.
        keep_sign: whether rates are learned as ``start * exp(s)``, so that no step changes their
            sign. Rates shaped like a table are learned as they are.
        residuals_only: whether only the numbers of the correction by residuals are learned.

    Attributes:
        row_sparse: whether tables get sparse gradients, with the touched rows only.
    """

    def __init__(
        self,
        model: nn.Module,
        rates: Tensors,
        adaptation: Adaptation,
        engine: Engine,
        loss: Loss,
        *,
        keep_sign: bool = False,
        residuals_only: bool = False,
    ) -> None:
        super().__init__()
        self.row_sparse = True
        self.model = model
        self.adaptation = adaptation
        self.engine = engine
        self.loss = loss
        self._start = {name: rate.detach() for name, rate in rates.items()}
        rows = {n: p.shape for n, p in model.named_parameters() if n in model.tables}  # type: ignore[operator]
        self._by_log = {
            name
            for name, rate in rates.items()
            if name != SIMILARITY  # the only number of which 0 is no bound
            and (is_number(name) or (keep_sign and rate.shape != rows.get(name)))
        }
        # A ParameterDict would refuse the dots in parameter names.
        self.alpha = nn.ParameterList(
            nn.Parameter(
                torch.zeros_like(rate) if name in self._by_log else rate.detach().clone(),
                requires_grad=name.startswith(RESIDUALS)
                or (not residuals_only and (is_number(name) or adaptation.rule.learnable)),
            )
            for name, rate in rates.items()
        )

    @property
    def learned(self) -> dict[str, Tensor]:
        """The parameters behind :attr:`rates`, by name."""
        return dict(zip(self._start, self.alpha, strict=True))

    @property
    def rates(self) -> dict[str, Tensor]:
        """The inner learning rates and the other learned numbers, by name."""
        return self.values(self.learned)

    def values(self, learned: Tensors, start: Tensors | None = None) -> dict[str, Tensor]:
        """What :attr:`rates` is for other values of :attr:`learned`, and of where they start."""
        start = self._start if start is None else start
        return {
            name: start[name] * p.exp() if name in self._by_log else p
            for name, p in learned.items()
        }

    @torch.no_grad()
    def clamp_rates(self, low: float, high: float) -> None:
        """Keep the inner learning rates within bounds."""
        for name, p in self.learned.items():
            if name in self._by_log and not is_number(name):
                bounded = (self._start[name] * p.exp()).clamp(low, high)
                p.copy_((bounded / self._start[name]).clamp_min(torch.finfo(p.dtype).tiny).log())
            elif not is_number(name):
                p.clamp_(low, high)

    def forward(self, episodes: Episodes) -> Tensor:
        """Mean loss over all query rows of the meta-batch, a scalar.

        Tables, and rates shaped like a table, get sparse gradients with the rows that the
        meta-batch touches.
        """
        rows, local = rows_of_batch(episodes)
        return self._loss(self._take(rows), local)

    def predict(self, episodes: Episodes) -> Any:
        """Adapt on the support; the model's outputs on the query, as the engine returns them."""
        rows, local = rows_of_batch(episodes)
        return self._outputs(self._take(rows), local)

    def accumulate_gradients(
        self, episodes: Episodes, users_at_once: int, weight: float = 1.0
    ) -> float:
        """Accumulate the gradients of the mean loss, some users at a time.

        Equals ``(weight * self(episodes)).backward()`` up to rounding, in the memory of
        `users_at_once`. Table rows are gathered once, and their gradients scattered once.

        Returns:
            the mean loss.
        """
        rows, local = rows_of_batch(episodes)
        taken = self._take(rows)
        leaves = {key: t.detach().requires_grad_(t.requires_grad) for key, t in taken.items()}
        count = max(int(episodes.query.mask.sum()), 1)
        total, recorder = 0.0, self.engine.recorder
        if not (is_plain(self.adaptation.rule) and recordable(self.model)):
            recorder = None
        for chunk in local.split(users_at_once):
            share = int(chunk.query.mask.sum()) / count
            if recorder is None:
                loss = self._loss(leaves, chunk) * share
                (weight * loss).backward()
            else:
                loss = self._recorded(recorder, leaves, chunk, share, weight)
            total += loss.item()
        _give_back(taken, {key: leaf.grad for key, leaf in leaves.items()})
        return total

    def _recorded(
        self, recorder: Recorder, leaves: Tensors, chunk: Episodes, share: float, weight: float
    ) -> Tensor:
        """``share * loss`` and the backward pass of `weight` times it, recorded if it comes often.

        Args:
            leaves: rows of the tables, which get gradients like the other parameters.
        """
        own = {name: p for name, p in self.model.named_parameters() if name not in leaves}
        learned = {name: p for name, p in self.learned.items() if f"{_RATE}{name}" not in leaves}
        count = len(next(iter(leaves.values()), ()))
        more = rounded_up(count) - count
        rows = {
            key: F.pad(leaf.detach(), (*(0, 0) * (leaf.ndim - 1), 0, more))
            for key, leaf in leaves.items()
        }
        wanted = [t.requires_grad for of in (own, learned, leaves) for t in of.values()]
        if adapts_tables(self.model, self.adaptation):
            chunk = localized(chunk, padded=True)
        scale = torch.tensor(weight, dtype=chunk.query.mask.dtype, device=chunk.query.mask.device)

        def gradients(given: Any, tree: Any) -> Any:
            *tensors, start, scale = given
            episodes = of_tree(tree)
            with torch.enable_grad():
                leaf = iter(wanted)
                own, learned, rows = (
                    {name: t.detach().requires_grad_(next(leaf)) for name, t in of.items()}
                    for of in tensors
                )
                output = self._outputs(rows, episodes, own, self.values(learned, start))
                loss = self.loss(output, episodes.query.labels, episodes.query.mask)
                inputs = [t for of in (own, learned, rows) for t in of.values() if t.requires_grad]
                return loss, torch.autograd.grad(loss, inputs, scale, allow_unused=True)

        start = {name: self._start[name] for name in learned}
        loss, grads = recorder(
            ("gradients", self, self.model.training, *wanted),
            gradients,
            (own, learned, rows, start, scale * share),
            Fixed(as_tree(chunk)),
            constants=list(self.model.buffers()),
        )
        every = (t for of in (own, learned, leaves) for t in of.values() if t.requires_grad)
        for tensor, grad in zip(every, grads, strict=True):
            if grad is not None:
                grad = grad[: len(tensor)] if grad.shape != tensor.shape else grad
                tensor.grad = grad if tensor.grad is None else tensor.grad + grad
        return loss * share

    def join_empty(self) -> None:
        """Take part in :meth:`accumulate_gradients` of other processes without any episodes.

        With sharded tables, the other processes need the rows that this one holds. Without
        gradients, take part in their :meth:`predict`.
        """
        nothing = torch.zeros(0, dtype=torch.int64, device=next(self.parameters()).device)
        _give_back(self._take(nothing), {})

    def _take(self, rows: Tensor) -> dict[str, Tensor]:
        """Rows of the tables, and of the rates shaped like a table."""
        tables: frozenset[str] = frozenset(self.model.tables)  # type: ignore[arg-type]
        params: dict[str, Tensor] = dict(self.model.named_parameters())
        of = {name: p for name, p in params.items() if name in tables}
        of |= {
            f"{_RATE}{name}": rate
            for name, rate in self.learned.items()  # those like a table are the rates themselves
            if name in tables and rate.shape == params[name].shape
        }
        if not self.row_sparse:
            return {key: index_rows(table, rows) for key, table in of.items()}
        return take_tables(of, rows)

    def _loss(self, taken: Mapping[str, Tensor], local: Episodes) -> Tensor:
        """The mean loss of episodes whose ids index the taken rows."""
        output = self._outputs(taken, local)
        return self.loss(output, local.query.labels, local.query.mask)

    def _outputs(
        self,
        taken: Mapping[str, Tensor],
        local: Episodes,
        params: Tensors | None = None,
        rates: Tensors | None = None,
    ) -> Any:
        params = dict(self.model.named_parameters() if params is None else params)
        rates = dict(self.rates if rates is None else rates)
        for key, rows in taken.items():
            name = key.removeprefix(_RATE)
            (params if name == key else rates)[name] = rows
        return self.engine(self.model, params, rates, self.adaptation, local, self.loss)


def _give_back(taken: Mapping[str, Tensor], grads: Mapping[str, Tensor | None]) -> None:
    """Backpropagate gradients of taken rows into their tables; unused rows get 0."""
    learned = {key: rows for key, rows in taken.items() if rows.requires_grad}
    if learned:
        given = [grads.get(key) for key in learned]
        torch.autograd.backward(
            list(learned.values()),
            [
                torch.zeros_like(rows) if grad is None else grad
                for rows, grad in zip(learned.values(), given, strict=True)
            ],
        )

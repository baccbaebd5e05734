"""The contract that all engines share.

A model can use a summary of a user's whole support. Its ``context`` maps the name of a buffer to a
function ``(output, labels [S], mask [S]) -> value``. The engine calls it once for each user, before
the first inner step, with the model's output on the support at the initial parameters. The buffer
then holds the value in every pass for that user, on support and query. No gradient flows through
it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.rules import Tensors
from metaselector.models.kernels.replay import Recorder

Loss = Callable[[Any, Tensor, Tensor], Tensor]
"""``loss(output, labels [R], mask [R]) -> scalar``: the mean loss of one user's rows.

The mask holds a weight for every row: 1, 0 for padding, or less than 1 for older support rows.
"""


Context = Mapping[str, Callable[[Any, Tensor, Tensor], Tensor]]
"""For each buffer, the function that computes its value for a user."""


class AdaptableModel(Protocol):
    """A module whose ``forward(batch)`` an engine can run with other parameters.

    It may have a :data:`Context` as ``context``.
    """

    tables: frozenset[str]
    """Names of the parameters that are indexed by ids along their first axis."""

    def named_parameters(self) -> Any: ...


class InnerLoop(NamedTuple):
    """One inner loop over a meta-batch of users: what an engine runs.

    Attributes:
        model: an :class:`AdaptableModel`.
        params: initial parameters, by name.
        rates: inner learning rates (alpha), by name.
        adaptation: what adapts, by which rule, in how many steps.
        episodes: the users' support and query.
        loss: mean loss of one user's rows.
    """

    model: nn.Module
    params: Tensors
    rates: Tensors
    adaptation: Adaptation
    episodes: Episodes
    loss: Loss


class Step(NamedTuple):
    """The users of a meta-batch after some number of inner steps.

    Attributes:
        output: model outputs on the query, each tensor with leading axes ``[U, Q]``.
        squares: for each adapted parameter, float64 ``[U]``: the squared Euclidean distance from
            its initial value; empty before the first step, or where only outputs were asked for.
    """

    output: Any
    squares: dict[str, Tensor]


Predictor = Callable[[Episodes], Any]
"""Maps episodes of users who have adapted to model outputs on the query, ``[U, Q, ...]``."""


class Engine(ABC):
    """Adapts every user on their support, then predicts their query.

    The arguments of both calls are the fields of :class:`InnerLoop`, in order.

    Attributes:
        recorder: records what runs often, see :meth:`recording`; None if nothing is recorded.
    """

    recorder: Recorder | None = None

    def recording(self) -> Engine:
        """An engine that gives the same results, and is faster for many similar inner loops.

        Until it is no longer used, models may change their parameters, but nothing else. An engine
        that cannot be faster returns itself.
        """
        return self

    def searching(self) -> Engine:
        """As :meth:`recording`, for inner loops of the same users with many settings.

        It keeps what such loops have in common until :meth:`forget` is called.
        """
        return self.recording()

    def forget(self) -> None:
        """Free what was kept for other inner loops."""
        return

    def __call__(
        self,
        model: nn.Module,
        params: Tensors,
        rates: Tensors,
        adaptation: Adaptation,
        episodes: Episodes,
        loss: Loss,
    ) -> Any:
        """Model outputs on the query, each tensor with leading axes ``[U, Q]``.

        Where the adaptation asks for it, they are corrected by the support's residuals.
        Differentiable with respect to `params` and `rates` where gradients are enabled.
        """
        loop = InnerLoop(model, params, rates, adaptation, episodes, loss)
        if adaptation.residuals is None:
            return self.run(loop, every_step=False)[-1].output
        output, unadapted = self.with_unadapted(loop)
        return adaptation.residuals.correct(output, unadapted, episodes, rates)

    def with_unadapted(self, loop: InnerLoop) -> tuple[Any, Any]:
        """Outputs on the query after the inner loop, and on the support before it.

        No gradient flows through the latter.
        """
        return self.run(loop, every_step=False)[-1].output, self._unadapted_support(loop)

    @torch.no_grad()
    def adapt_once(self, loop: InnerLoop) -> Predictor:
        """Run the inner loop now, and return a function that predicts any query of these users.

        Its outputs are those of a call with the query's episodes, without another inner loop. There
        are no gradients.
        """
        predict, residuals = torch.no_grad()(self.after(loop)), loop.adaptation.residuals
        if residuals is None:
            return predict
        unadapted = self._unadapted_support(loop)

        @torch.no_grad()
        def corrected(episodes: Episodes) -> Any:
            return residuals.correct(predict(episodes), unadapted, episodes, loop.rates)

        return corrected

    @torch.no_grad()
    def _unadapted_support(self, loop: InnerLoop) -> Any:
        """Outputs on the support at the initial parameters."""
        support = loop.episodes.support
        as_query = loop._replace(
            adaptation=loop.adaptation.with_steps(0), episodes=Episodes(support, support)
        )
        return self.run(as_query, every_step=False)[-1].output

    def steps(self, loop: InnerLoop) -> list[Step]:
        """What each inner step gives, from 0 steps to all of them, in one pass of the loop.

        Outputs are those of the inner loop alone, without the correction by residuals.
        """
        return self.run(loop, every_step=True)

    def after(self, loop: InnerLoop) -> Predictor:
        """As :meth:`adapt_once`, without the correction by residuals.

        An engine that cannot keep what the users adapted runs the inner loop for every query.
        """
        return lambda episodes: (
            self.run(loop._replace(episodes=episodes), every_step=False)[-1].output
        )

    @abstractmethod
    def run(self, loop: InnerLoop, *, every_step: bool) -> list[Step]:
        """All steps from 0 on, or a list of the last one only."""


def context_of(model: nn.Module) -> Context:
    """The ``context`` of `model`; empty by default."""
    context: Context = getattr(model, "context", {})
    return context

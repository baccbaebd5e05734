"""The contract that all engines share.

A model may be told of a user's support as a whole: its ``context`` maps the name of a buffer to a
function ``(output, labels [S], mask [S]) -> value``, called once for each user with the model's
output on the support by the initial parameters, before the first inner step and with that buffer
as the model has it. Every pass for that user, on support and query, then sees the value in the
buffer. It is a constant: no gradient goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.rules import Tensors

Loss = Callable[[Any, Tensor, Tensor], Tensor]
"""``loss(output, labels [R], mask [R]) -> scalar``: the mean loss of one user's rows.

The mask holds a weight for every row: 1, 0 for padding, or less than 1 for older support rows.
"""


Context = Mapping[str, Callable[[Any, Tensor, Tensor], Tensor]]
"""By the name of a buffer, what an engine fills it with for each user."""


class AdaptableModel(Protocol):
    """A module whose ``forward(batch)`` an engine can run with other parameters.

    It may have a :data:`Context` as ``context``.
    """

    tables: frozenset[str]
    """Names of the parameters that are indexed by ids along their first axis."""

    def named_parameters(self) -> Any: ...


class Engine(Protocol):
    """Adapt every user on their support, then predict their query."""

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

        Differentiable with respect to `params` and `rates` where gradients are enabled.
        """


def context_of(model: nn.Module) -> Context:
    """What `model` asks to be told of a user's support; nothing, by default."""
    context: Context = getattr(model, "context", {})
    return context

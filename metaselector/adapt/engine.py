"""The contract that all engines share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from torch import Tensor, nn

from metaselector.adapt.rules import InnerRule, Tensors
from metaselector.data.episodes import Episodes
from metaselector.errors import ConfigError, nearest

Loss = Callable[[Any, Tensor, Tensor], Tensor]
"""``loss(output, labels [R], mask [R]) -> scalar``: the mean loss of one user's unmasked rows."""


class AdaptableModel(Protocol):
    """A module whose ``forward(batch)`` an engine can run with other parameters."""

    tables: frozenset[str]
    """Names of the parameters that are indexed by ids along their first axis."""

    def named_parameters(self) -> Any: ...


@dataclass(frozen=True)
class Adaptation:
    """What the inner loop does.

    Attributes:
        rule: the inner rule.
        steps: inner steps, 0 or more.
        names: the parameters that adapt; the others keep their initial values.
    """

    rule: InnerRule
    steps: int
    names: tuple[str, ...]


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


def select_names(names: Mapping[str, Any], patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The names that match any shell-style pattern (``selector.*``), in their own order.

    Raises:
        ConfigError: a pattern matches nothing.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"adapted pattern '{pattern}' matches no parameter; {nearest(pattern, names)}"
            )
    return tuple(name for name in names if any(fnmatchcase(name, p) for p in patterns))

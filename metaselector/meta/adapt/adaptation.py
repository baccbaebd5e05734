"""What the inner loop does: which parameters adapt, by which rule, in how many steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from metaselector.common.errors import ConfigError, nearest
from metaselector.meta.adapt.rules import InnerRule, Tensors


@dataclass(frozen=True)
class Adaptation:
    """The settings of the inner loop.

    Attributes:
        rule: the inner rule.
        steps: inner steps, 0 or more.
        names: the parameters that adapt; the others keep their initial values.
        half_lives: for each step, how many later rows halve the weight of a support row in the
            loss, or None for equal weights; empty means equal weights in every step.
        per_step: whether every step has its own rates (Antoniou et al., "How to train your
            MAML", ICLR 2019, section 4). Each tensor then has one rate per step, ``[steps]``.
        prior_rows: multiplies a user's support loss by ``n / (n + prior_rows)``, with n the sum of
            the weights of their support rows, so that few rows move the parameters less.

    Example:
        >>> from metaselector.meta.adapt.rules import MAML
        >>> adaptation = Adaptation(MAML(0.1), 2, ("w",), half_lives=(None, 1.0))
        >>> adaptation.support_weights(1, torch.ones(3))  # of the second step, oldest row first
        tensor([0.2500, 0.5000, 1.0000])
    """

    rule: InnerRule
    steps: int
    names: tuple[str, ...]
    half_lives: tuple[float | None, ...] = ()
    per_step: bool = False
    prior_rows: float = 0.0

    def initial_rates(self, params: Tensors) -> dict[str, Tensor]:
        """Initial rates of the adapted `params`.

        Raises:
            ConfigError: ``per_step`` with a rate for each element of a tensor.
        """
        rates = self.rule.init({name: params[name] for name in self.names})
        if not self.per_step:
            return rates
        for name, rate in rates.items():
            if rate.shape != (1,):
                raise ConfigError(
                    f"the rate of '{name}' has {rate.numel()} elements; rates for each step are "
                    "one number a tensor: set adapt.granularity to tensor or scalar"
                )
        return {name: rate.repeat(self.steps) for name, rate in rates.items()}

    def rates_at(self, step: int, rates: Tensors) -> dict[str, Tensor]:
        """The rates of one step, counted from 0; steps beyond the learned ones repeat the last."""
        if not self.per_step:
            return dict(rates)
        return {name: rate[: step + 1][-1:] for name, rate in rates.items()}

    def with_steps(self, steps: int) -> Adaptation:
        """The same adaptation with fewer steps, or with the last one repeated."""
        half_lives = (*self.half_lives, *self.half_lives[-1:] * (steps - self.steps))[:steps]
        return replace(self, steps=steps, half_lives=half_lives)

    def support_weights(self, step: int, mask: Tensor) -> Tensor:
        """Weights ``[..., S]`` of support rows, oldest first, in the loss of one step.

        The most recent row has weight 1, padding 0.
        """
        half_life = self.half_lives[step] if self.half_lives else None
        if half_life is None:
            return mask
        later = mask.flip(-1).cumsum(-1).flip(-1) - mask
        return mask * torch.exp2(-later / half_life)

    def shrunk(self, losses: Tensor, weights: Tensor) -> Tensor:
        """Scale the support losses ``[...]`` by :attr:`prior_rows`; `weights` are ``[..., S]``."""
        if not self.prior_rows:
            return losses
        rows = weights.sum(-1)
        return losses * (rows / (rows + self.prior_rows))


def select_names(names: Mapping[str, Any], patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The names that match any shell-style pattern (``selector.*``), in their own order.

    Raises:
        ConfigError: a pattern matches nothing.

    Example:
        >>> select_names({"selector.a": 0, "base_models.lr.b": 0}, ("selector.*",))
        ('selector.a',)
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"adapted pattern '{pattern}' matches no parameter; {nearest(pattern, names)}"
            )
    return tuple(name for name in names if any(fnmatchcase(name, p) for p in patterns))

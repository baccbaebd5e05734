"""What the inner loop does: which parameters adapt, by which rule, in how many steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from metaselector.common.errors import ConfigError, nearest
from metaselector.meta.adapt.residuals import ResidualAttention
from metaselector.meta.adapt.rules import InnerRule, Tensors

HALF_LIFE, TIME_DECAY, PRIOR_ROWS = "support/half_life", "support/time_decay", "support/prior_rows"
"""Names of the learned numbers; no parameter's name has a slash."""
NOTHING: Tensors = MappingProxyType({})
LONG = 1000.0
"""Where a learned half-life starts that is infinite otherwise."""


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
        time_decays: for each step, beta of the weight ``(1 + g)^-beta`` that a support row also
            has, g the hours from the row to the user's first query row; empty means 0.
        prior_rows: kappa of the support loss ``sum_i m_i l_i / max(n + kappa, 1)``, with m_i the
            weights of a user's support rows and n their sum: few rows move the parameters less.
        learned: whether the outer loop learns the half-lives, the decay by time and the prior rows,
            one of each for every step. The settings above are then where they start; an infinite
            half-life starts at :data:`LONG` rows.
        residuals: the correction by the support's residuals, if any.

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
    time_decays: tuple[float, ...] = ()
    learned: bool = False
    residuals: ResidualAttention | None = None

    def initial_rates(self, params: Tensors) -> dict[str, Tensor]:
        """Where everything starts that the inner loop is given besides the parameters.

        Returns:
            the rates of the adapted `params`, by their names; if :attr:`learned`, the numbers
            :data:`HALF_LIFE`, :data:`TIME_DECAY` and :data:`PRIOR_ROWS`, each ``[steps]``; and
            those of the correction by residuals.

        Raises:
            ConfigError: ``per_step`` with a rate for each element of a tensor.
        """
        rates = self._initial_rates(params)
        like = next(iter(params.values()), torch.zeros(()))
        if self.learned and self.steps:
            half_lives = [half_life or LONG for half_life in self.half_lives] or [LONG] * self.steps
            rates[HALF_LIFE] = _plain(like, half_lives)
            rates[TIME_DECAY] = _plain(like, self.time_decays or [0.0] * self.steps)
            rates[PRIOR_ROWS] = _plain(like, [self.prior_rows] * self.steps)
        if self.residuals is not None:
            rates |= {name: _plain(like, of) for name, of in self.residuals.start().items()}
        return rates

    def _initial_rates(self, params: Tensors) -> dict[str, Tensor]:
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
        of_rule = {name: rate for name, rate in rates.items() if not is_number(name)}
        if not self.per_step:
            return of_rule
        return {name: _at(step, rate) for name, rate in of_rule.items()}

    def with_steps(self, steps: int) -> Adaptation:
        """The same adaptation with fewer steps, or with the last one repeated."""
        more = steps - self.steps
        half_lives = (*self.half_lives, *self.half_lives[-1:] * more)[:steps]
        time_decays = (*self.time_decays, *self.time_decays[-1:] * more)[:steps]
        return replace(self, steps=steps, half_lives=half_lives, time_decays=time_decays)

    def support_weights(
        self, step: int, mask: Tensor, hours: Tensor | None = None, rates: Tensors = NOTHING
    ) -> Tensor:
        """Weights of support rows in the loss of one step.

        The most recent row has weight 1 before the decay by time, padding 0.

        Args:
            mask: ``[..., S]``, oldest first.
            hours: ``[..., S]``, from the first query row, so 0 or less; None counts as 0.
            rates: holds the learned numbers.

        Returns:
            ``[..., S]``.
        """
        half_life: Tensor | float | None = self.half_lives[step] if self.half_lives else None
        decay: Tensor | float = self.time_decays[step] if self.time_decays else 0.0
        if self.learned:
            half_life, decay = _at(step, rates[HALF_LIFE]), _at(step, rates[TIME_DECAY])
        if half_life is not None:
            later = mask.flip(-1).cumsum(-1).flip(-1) - mask
            mask = mask * torch.exp2(-later / half_life)
        if hours is None or (not self.learned and not decay):
            return mask
        return mask * torch.exp(-decay * torch.log1p(-hours.clamp_max(0)))

    def counts_hours(self, rates: Tensors = NOTHING) -> bool:
        """Whether the weights of support rows depend on their hours."""
        if self.learned and self.steps:
            return bool(rates[TIME_DECAY].any())
        return any(self.time_decays)

    def shrunk(
        self, losses: Tensor, weights: Tensor, step: int = 0, rates: Tensors = NOTHING
    ) -> Tensor:
        """Scale mean support losses ``[...]`` by :attr:`prior_rows`; `weights` are ``[..., S]``."""
        scale = self.shrinkage(weights, step, rates)
        return losses if scale is None else losses * scale

    def shrinkage(self, weights: Tensor, step: int = 0, rates: Tensors = NOTHING) -> Tensor | None:
        """What :meth:`shrunk` multiplies losses by, ``[...]``; None for 1."""
        if not self.learned and not self.prior_rows:
            return None
        prior = _at(step, rates[PRIOR_ROWS]).squeeze() if self.learned else self.prior_rows
        rows = weights.sum(-1)
        # The mean loss divides by 1 where there is less than a row.
        counted = rows.clamp_min(1) * (rows > 0)
        return counted / (rows + prior).clamp_min(1)


def is_number(name: str) -> bool:
    """Whether this is the name of a learned number, and not of a rate.

    Example:
        >>> is_number(HALF_LIFE), is_number("selector.output.bias")
        (True, False)
    """
    return "/" in name


def _at(step: int, numbers: Tensor) -> Tensor:
    """``[1]``."""
    return numbers[: step + 1][-1:]


def _plain(like: Tensor, values: Sequence[float]) -> Tensor:
    """An ordinary tensor, which ``like.new_tensor`` of a sharded table is not."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)


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

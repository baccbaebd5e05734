"""Inner rules: how one step of adaptation turns parameters, gradients and rates into parameters.

A rule is two pure functions over dictionaries from parameter name to tensor. ``init`` returns the
initial rates (alpha), which the outer loop learns if ``learnable`` is true; ``update`` takes one
step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
Granularity = Literal["scalar", "tensor", "element"]
SHARED = "shared"
"""Name of the rate that all parameters share at granularity ``scalar``."""


def _one_rate(parameter: Tensor, rate: float) -> Tensor:
    """``[1]``; an ordinary tensor, which ``parameter.new_full`` of a sharded table is not."""
    return torch.full([1], rate, dtype=parameter.dtype, device=parameter.device)


def _step(parameter: Tensor, rate: Tensor, grad: Tensor) -> Tensor:
    """``parameter - rate * grad``, one operation instead of two."""
    return torch.addcmul(parameter, rate, grad, value=-1)


class InnerRule(Protocol):
    """The contract of an inner rule."""

    learnable: bool
    """Whether the outer loop learns the rates."""
    second_order: bool
    """Whether the outer gradient goes through the inner gradient."""

    def init(self, params: Tensors) -> dict[str, Tensor]:
        """The initial rates for the adapted `params`; shape ``[1]`` or that of a parameter."""

    def update(self, params: Tensors, grads: Tensors, rates: Tensors) -> dict[str, Tensor]:
        """Take one step. Pure: `params` must not change."""


class MAML:
    """``theta - alpha * grad``, one fixed alpha (Finn et al., ICML 2017, Eq. 1).

    Args:
        rate: the inner learning rate, or a function from parameter name to it.
        second_order: False gives first-order MAML, whose outer gradient treats the inner gradient
            as a constant (same paper, section 5.2).

    Example:
        >>> rule, params, grads = MAML(0.1), {"w": torch.ones(2)}, {"w": torch.tensor([1.0, -1.0])}
        >>> rule.update(params, grads, rule.init(params))
        {'w': tensor([0.9000, 1.1000])}
    """

    learnable = False

    def __init__(self, rate: float | Callable[[str], float], *, second_order: bool = True) -> None:
        self.rate = rate if callable(rate) else lambda _: rate
        self.second_order = second_order

    def init(self, params: Tensors) -> dict[str, Tensor]:
        return {name: _one_rate(p, self.rate(name)) for name, p in params.items()}

    def update(self, params: Tensors, grads: Tensors, rates: Tensors) -> dict[str, Tensor]:
        return {name: _step(p, rates[name], grads[name]) for name, p in params.items()}


def first_order_maml(rate: float | Callable[[str], float]) -> MAML:
    """MAML whose outer gradient treats the inner gradient as a constant.

    Example:
        >>> first_order_maml(0.1).second_order
        False
    """
    return MAML(rate, second_order=False)


class MetaSGD:
    """``theta - alpha o grad`` with a learned alpha (Li et al., "Meta-SGD", 2017, Eq. 1).

    Args:
        rate: where alpha starts: a number, or a function from parameter name to it.
        granularity: one rate for all (``scalar``), one a tensor, or one an element as in the paper.
            The paper draws the initial rates at random; here they all start at `rate`.
        second_order: as for :class:`MAML`.

    Example:
        >>> rule, params = MetaSGD(0.1, granularity="element"), {"w": torch.ones(2)}
        >>> rule.init(params)
        {'w': tensor([0.1000, 0.1000])}
    """

    learnable = True

    def __init__(
        self,
        rate: float | Callable[[str], float],
        *,
        granularity: Granularity = "tensor",
        second_order: bool = True,
    ) -> None:
        self.rate = rate if callable(rate) else lambda _: rate
        self.granularity = granularity
        self.second_order = second_order

    def init(self, params: Tensors) -> dict[str, Tensor]:
        if self.granularity == "scalar":
            first = next(iter(params), None)  # the rates of the parameters must agree
            return {SHARED: _one_rate(params[first], self.rate(first))} if first else {}
        if self.granularity == "tensor":
            return {name: _one_rate(p, self.rate(name)) for name, p in params.items()}
        return {name: torch.full_like(p, self.rate(name)) for name, p in params.items()}

    def update(self, params: Tensors, grads: Tensors, rates: Tensors) -> dict[str, Tensor]:
        shared = rates.get(SHARED)
        return {
            name: _step(p, rates[name] if shared is None else shared, grads[name])
            for name, p in params.items()
        }


def is_plain(rule: InnerRule) -> bool:
    """Whether a step is a rate times the gradient, and nothing else is read or kept.

    Example:
        >>> is_plain(first_order_maml(0.1))
        True
    """
    return type(rule) in (MAML, MetaSGD)

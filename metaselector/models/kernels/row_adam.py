"""Adam that changes the touched rows of a table and no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from metaselector.models.kernels.rows import storage_of


class RowAdam(torch.optim.Optimizer):
    """Adam (Kingma and Ba, ICLR 2015, Algorithm 1) for parameters with row-sparse gradients.

    A step changes the rows in the gradient, and their moments, as dense Adam would. It does
    not read or write other rows, which dense Adam would move by their decaying moments. The bias
    correction counts steps, not how often a row was touched. There is no weight decay. With a
    sharded table, each process holds and updates its own rows and their moments.

    ``torch.optim.SparseAdam`` does the same, but takes five times as long for a small batch and
    adds epsilon before it corrects the bias, so that its touched rows differ from dense Adam's.

    Args:
        params: parameters, or groups of them with a rate ``lr`` each.
        betas: decay of the first and the second moment.
        eps: added to the root of the second moment.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient, in place."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        grad = parameter.grad.coalesce()  # type: ignore[union-attr]
        here = storage_of(parameter).here
        held, first = here(parameter)
        means, squares = here(state["mean"])[0], here(state["square"])[0]
        rows, values = grad.indices()[0] - first, grad.values()
        beta1, beta2 = group["betas"]
        mean = means.index_select(0, rows).lerp_(values, 1 - beta1)
        square = squares.index_select(0, rows).mul_(beta2)
        square.addcmul_(values, values, value=1 - beta2)
        means.index_copy_(0, rows, mean)
        squares.index_copy_(0, rows, square)
        root = square.sqrt_().div_((1 - beta2 ** state["step"]) ** 0.5).add_(group["eps"])
        rate = group["lr"] / (1 - beta1 ** state["step"])
        held.index_add_(0, rows, mean.div_(root), alpha=-rate)

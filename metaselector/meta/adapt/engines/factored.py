"""Linear layers with weights per user, without a matrix for each user.

A step changes the weight W of a linear layer by a rate times its gradient, which is the sum of
``d_n x_n^T`` over the rows n that the layer saw, with its inputs x and the derivatives d of the
loss with respect to its outputs. So a user's weight need not be formed:
``W x - rate * sum_n d_n <x_n, x>`` is one product with W for all users together, and little more if
a user has fewer rows than W, and nothing of the size of W is written for any user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.models.kernels.intercept import Handlers, UnexpectedUse, behind_vmap


@dataclass(frozen=True)
class UserWeights:
    """One weight for each user.

    Attributes:
        start: ``[out, in]``, the initial weight of all users.
        changes: sums of outer products to subtract from it, each given by its inputs
            ``[U, N, in]`` and derivatives ``[U, N, out]``, times the rate.
    """

    start: Tensor
    changes: tuple[tuple[Tensor, Tensor], ...] = ()

    def apply(self, inputs: Tensor) -> Tensor:
        """Outputs ``[U, N, out]`` for inputs ``[U, N, in]``."""
        outputs = F.linear(inputs, self.start)
        for seen, derivatives in self.changes:
            overlap = torch.bmm(inputs, seen.mT)  # `@` would put five more views into the graph
            outputs = torch.baddbmm(outputs, overlap, derivatives, alpha=-1)
        return outputs

    def step(self, rate: Tensor, inputs: Tensor, derivatives: Tensor) -> UserWeights:
        """The weights after one step down the gradient; `rate` is one number."""
        return UserWeights(self.start, (*self.changes, (inputs, rate * derivatives)))

    def formed(self, users: int) -> Tensor:
        """``[U, out, in]``."""
        weight = self.start.expand(users, -1, -1)
        for seen, derivatives in self.changes:
            weight = weight - derivatives.mT @ seen
        return weight


class Use(NamedTuple):
    """One pass through a layer: the name of its weight, ``[U, N, in]`` and ``[U, N, out]``."""

    name: str
    inputs: Tensor
    outputs: Tensor


class FactoredLinears:
    """A replacement for ``F.linear`` in passes where some weights are :class:`UserWeights`.

    Layers find them by the tensor ``start``, which the caller gives to the model as the weight.

    Args:
        weights: by name of the parameter.
        users: U.
    """

    def __init__(self, weights: dict[str, UserWeights], users: int) -> None:
        self.weights = weights
        self._names = {id(weight.start): name for name, weight in weights.items()}
        self._users = users
        self._uses: list[Use] = []

    @property
    def handlers(self) -> Handlers:
        return {F.linear: self.linear}

    def uses(self) -> list[Use]:
        """Return and forget all passes with gradients; outputs exclude the bias."""
        uses, self._uses = self._uses, []
        return uses

    def linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """As ``F.linear``.

        Raises:
            UnexpectedUse: `input` or `bias` is one of the weights.
        """
        for other in (input, bias):
            if id(other) in self._names:
                raise UnexpectedUse(self._names[id(other)])
        name = self._names.get(id(weight))
        if name is None:
            return F.linear(input, weight, bias)

        def run(per_user: tuple[bool, ...], given: Tensor, bias: Tensor | None) -> Tensor:
            own_input, own_bias = per_user
            if not own_input:
                given = given.expand(self._users, *given.shape)
            flat = given.ndim == 3  # then no view of it enters the graph
            inputs = given if flat else given.reshape(self._users, -1, given.shape[-1])
            outputs = self.weights[name].apply(inputs)
            if torch.is_grad_enabled():  # otherwise no derivative comes back
                if not outputs.requires_grad:
                    outputs.requires_grad_()  # nothing before this layer adapts
                self._uses.append(Use(name, inputs, outputs))
            if bias is None:
                outputs = outputs.clone()  # the model may change its copy in place
            else:
                outputs = outputs + (bias.unsqueeze(1) if own_bias else bias)
            return outputs if flat else outputs.reshape(*given.shape[:-1], outputs.shape[-1])

        return behind_vmap(run, input, bias, always_per_user=True)


def factorable(model: nn.Module, rows: int) -> set[str]:
    """Names of the linear layers' weights that are large compared to the factors of their changes.

    Args:
        rows: the support rows of a user, times the number of steps.
    """
    return {
        f"{name}.weight" if name else "weight"
        for name, module in model.named_modules()
        if type(module) is nn.Linear
        and rows * (module.in_features + module.out_features) <= 2 * module.weight.numel()
    }

"""A moving average of what is learned, which varies less from step to step.

Few meta-batches make an epoch, so the last parameters depend on who was in the last ones.
Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM Journal
on Control and Optimization 30, 1992; here with weights that decay, as is usual today.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from metaselector.training.distributed import workers

AVERAGE = "average."
"""Prefix of the averages' names in a snapshot."""
_STEPS = f"{AVERAGE}steps"


class MovingAverage:
    """The moving average of some tensors.

    After step t the average moves by ``1 - min(decay, (1 + t) / (10 + t))`` of the way, so that the
    start is soon forgotten.

    Args:
        parameters: the tensors, by name.
        decay: at least 0, less than 1; at 0 there is nothing to average.

    Attributes:
        tensors: the state, to save and restore in place.

    Example:
        >>> learned = {"a": torch.zeros(1)}
        >>> average = MovingAverage(learned, decay=0.9)
        >>> _ = learned["a"].add_(1.0)
        >>> average.update()
        >>> average.values
        {'a': tensor([0.8182])}
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self._parameters, self._decay = dict(parameters), decay
        self.tensors: dict[str, Tensor] = {}
        if decay:
            self.tensors = {f"{AVERAGE}{n}": p.detach().clone() for n, p in parameters.items()}
            self.tensors[_STEPS] = torch.zeros(1, dtype=torch.float64)

    @property
    def values(self) -> dict[str, Tensor]:
        """The averages by name; without averaging, the tensors as they are now."""
        if not self._decay:
            return {name: p.detach() for name, p in self._parameters.items()}
        return {name: self.tensors[f"{AVERAGE}{name}"] for name in self._parameters}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the tensors of now."""
        if not self._decay:
            return
        steps = self.tensors[_STEPS].add_(1).item()
        decay = min(self._decay, (1 + steps) / (10 + steps))
        for name, average in self.values.items():
            average.lerp_(self._parameters[name], 1 - decay)

    @torch.no_grad()
    def synchronize(self) -> None:
        """Average over all workers."""
        for average in self.tensors.values() if workers.count() > 1 else ():
            total = workers.summed(average.detach().cpu().numpy())
            average.copy_(torch.from_numpy(total) / workers.count())

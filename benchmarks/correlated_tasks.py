"""Two regression tasks with adjustable correlation (Ma et al., "MMoE", KDD 2018, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

INPUTS = 100
WAVES = 10
SCALE = 1.0
NOISE_VARIANCE = 0.01
TASKS = 2


class World:
    """A generator of rows: ``y_t = w_t x + sum_i sin(a_i w_t x + b_i) + noise``.

    With orthonormal u1 and u2, ``w_1 = c u1`` and ``w_2 = c (p u1 + sqrt(1 - p^2) u2)``, so the
    cosine between the tasks' weights is p. x is standard normal, the noise has variance 0.01. The
    paper does not specify c, the number m of waves, and their distribution. As in Tang et al.,
    "PLE", RecSys 2020, c = 1, m = 10, and a and b are standard normal.

    Worlds with the same seed and different p share everything else, inputs and noise included.

    Attributes:
        weights: w, ``[2, 100]``.
        frequencies, phases: a and b, ``[10]``.
    """

    def __init__(self, seed: int, correlation: float) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        basis, _ = torch.linalg.qr(self._normal(INPUTS, TASKS))  # orthonormal columns u1 and u2
        p = correlation
        self.weights = SCALE * torch.tensor([[1.0, 0.0], [p, (1 - p**2) ** 0.5]]) @ basis.T
        self.frequencies, self.phases = self._normal(WAVES), self._normal(WAVES)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """The next n rows: inputs ``[n, 100]`` and labels ``[n, 2]``, float32."""
        x = self._normal(n, INPUTS)
        z = x @ self.weights.T  # [n, 2]
        waves = torch.sin(z.unsqueeze(-1) * self.frequencies + self.phases).sum(-1)
        return x, z + waves + NOISE_VARIANCE**0.5 * self._normal(n, TASKS)


def label_correlation(labels: Tensor) -> float:
    """Pearson's correlation of the two tasks' labels ``[n, 2]``."""
    return torch.corrcoef(labels.T)[0, 1].item()

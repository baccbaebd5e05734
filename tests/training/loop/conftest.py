"""The smallest thing that can be trained, with everything random that a real one has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metaselector.models.kernels.row_adam import RowAdam
from metaselector.training.loop.trainable import Trainable, ValidationResult

STEPS = 5


class Small(Trainable):
    """Pulls a vector and some rows of a table to random targets, with dropout."""

    def __init__(self, valid: bool = True) -> None:
        self.generator = np.random.default_rng(7)
        self.torch_seed = 3
        self.weight = torch.nn.Parameter(torch.zeros(4))
        self.table = torch.nn.Parameter(torch.zeros(6, 2))
        self.parameters = {"weight": self.weight, "table": self.table}
        self.optimizers = [
            torch.optim.Adam([self.weight], lr=0.1, fused=True),
            RowAdam([self.table], lr=0.1),
        ]
        self.valid = valid
        self.fails: Callable[[Any], Tensor | float] = lambda batch: 1.0
        self.steps = 0

    def begin(self, epoch: int) -> Sequence[Any]:
        return [] if epoch == 0 else list(self.generator.permutation(STEPS))

    def gradients(self, batch: Any, epoch: int) -> float | None:
        self.steps += 1
        drawn = self.generator.integers(6, size=2)  # as cuts of episodes are, after the order
        target = torch.nn.functional.dropout(torch.ones(4) * float(batch))
        rows = torch.tensor(drawn)
        loss = ((self.weight - target) ** 2).mean() * self.fails(batch)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        grad = self.table.detach()[rows] - epoch
        self.table.grad = torch.sparse_coo_tensor(
            rows[None], grad, self.table.shape, check_invariants=True
        )
        return None if batch == 0 else loss.item()

    def update(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def validate(self, epoch: int, seconds: float, train_loss: float | None) -> ValidationResult:
        if not self.valid:
            return ValidationResult(None)
        lost = float((self.weight - 1.3).abs().sum().detach())
        return ValidationResult(
            lost, {"noted": epoch}, [{"epoch": epoch, "parameter": "a", "mean": 1.0}]
        )

    def candidate(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.parameters.items()}

    def users(self, batch: Any) -> list[str]:
        return [f"user {batch}"]

    def nonfinite_users(self, batch: Any) -> list[str]:
        return [f"bad {batch}"]

    def group_of(self, name: str) -> str:
        return f"the {name}"


@pytest.fixture
def small() -> type[Small]:
    return Small

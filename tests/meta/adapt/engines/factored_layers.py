"""Random tensors for layers with weights that are never formed, and how results are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metaselector.meta.adapt.engines import func
from metaselector.meta.adapt.engines.factored import UserWeights

USERS = 3
IN = 4
RATE = 0.3
Steps = list[UserWeights]


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def close(actual: Any, expected: Any, name: str = "") -> None:
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=1e-10, msg=lambda message: f"{name}: {message}"
    )


def all_linear(model: nn.Module, rows: int) -> set[str]:
    """In place of factorable: whatever the size."""
    modules = model.named_modules()
    return {f"{name}.weight" for name, module in modules if type(module) is nn.Linear}


def list_steps(monkeypatch: pytest.MonkeyPatch, which: Callable[..., set[str]]) -> Steps:
    """Use `which` in place of factorable, and list the steps that factored weights take."""
    steps: Steps = []
    step = UserWeights.step

    def listing(self: UserWeights, *arguments: Tensor) -> UserWeights:
        steps.append(self)
        return step(self, *arguments)

    monkeypatch.setattr(UserWeights, "step", listing)
    monkeypatch.setattr(func, "factorable", which)
    return steps

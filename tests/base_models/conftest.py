"""Tiny multi-task models, with rows and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from base_models import MultiTaskModel
from tests.base_models.multi_task_models import MODELS
from tests.base_models.tiny import randomise

NUM_IDS = 9
SLOT_FIELDS = [0, 1, 2, 2]
"""Field of each slot: user, item, and two slots of genres."""
FUNNEL = [(None, False), (0, False)]
"""Two tasks; the second is observed where the first is 1."""


@pytest.fixture
def make() -> Callable[..., Any]:
    """Creates a float64 model with random parameters, all far from 0."""

    def make(
        cls: type[MultiTaskModel],
        tasks: Sequence[tuple[Any, ...]] = FUNNEL,
        seed: int = 0,
        **options: Any,
    ) -> MultiTaskModel:
        with torch.random.fork_rng(devices=[]):
            model: Any = cls(NUM_IDS, SLOT_FIELDS, tasks, **options)  # type: ignore[arg-type]
        return randomise(model, seed)

    return make


@pytest.fixture
def rows() -> tuple[Tensor, Tensor]:
    """Ids and values ``[7, 4]``; a row has one or two genres."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.stack(
        [
            torch.randint(low, high, (7,), generator=generator)
            for low, high in [(1, 3), (3, 6), (6, 9), (6, 9)]
        ],
        dim=-1,
    )
    values = torch.rand(7, 4, generator=generator, dtype=torch.float64) + 0.5
    ids[::2, 3] = 0
    values[::2, 3] = 0
    return ids, values


@pytest.fixture
def labels() -> Tensor:
    """Labels ``[7, 2]`` of :data:`FUNNEL`; some are unknown."""
    nan = float("nan")
    return torch.tensor(
        [[1, 0], [0, nan], [1, 1], [1, nan], [nan, nan], [0, nan], [1, 1]], dtype=torch.float64
    )


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def build(make: Callable[..., Any]) -> Callable[..., MultiTaskModel]:
    def build(name: str, **more: Any) -> MultiTaskModel:
        cls, options = MODELS[name]
        model: MultiTaskModel = make(cls, **{**options, **more})
        return model

    return build


@pytest.fixture
def model(name: str, build: Callable[..., MultiTaskModel]) -> MultiTaskModel:
    return build(name)

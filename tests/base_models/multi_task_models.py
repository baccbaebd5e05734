"""All multi-task models, in small sizes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from base_models import (
    AITM,
    CGC,
    ESMM,
    LR,
    MRAN,
    PLE,
    MMoE,
    PerTask,
    RnR,
    SharedBottom,
    SingleTask,
)

SIZES = {"embedding_size": 2, "tower_sizes": (4,)}
EXPERTS = {**SIZES, "expert_sizes": (4, 3)}
MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "shared-bottom": (SharedBottom, {**SIZES, "bottom_sizes": (4,)}),
    "mmoe": (MMoE, EXPERTS),
    "omoe": (MMoE, {**EXPERTS, "gates": "one"}),
    "cgc": (CGC, EXPERTS),
    "ple": (PLE, {**EXPERTS, "levels": 3}),
    "ple-detached": (PLE, {**EXPERTS, "previous": "detached"}),
    "esmm": (ESMM, {"embedding_size": 2, "hidden_sizes": (4,)}),
    "aitm": (AITM, {**SIZES, "bottom_sizes": (4, 3)}),
    "rnr": (
        RnR,
        {
            "embedding_size": 3,
            "user_field": 0,
            "item_field": 1,
            "regularization": 0.3,
            "deviation_regularization": 0.2,
        },
    ),
    "mran": (MRAN, {"embedding_size": 4, "tower_sizes": (8,)}),
    "single-task": (SingleTask, {**SIZES, "bottom_sizes": (4,)}),
    "per-task": (PerTask, {"make": lambda: LR(9, [0, 1, 2, 2])}),
}
WITH_DROPOUT = sorted(set(MODELS) - {"rnr", "per-task"})
ORDINARY = sorted(set(MODELS) - {"esmm", "aitm", "rnr"})
"""Models that keep the losses of their base class."""


def total(model: Any, batch: Any, labels: Tensor) -> Tensor:
    """Sum of the tasks' losses and the penalty."""
    tasks, penalty = model.losses(batch, labels)
    return tasks.sum() + penalty

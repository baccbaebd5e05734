"""Which pairs the others are sure enough of to label them for a model."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor


def by_others(probabilities: Tensor, k: int) -> Tensor:
    """Mean probability ``[n]`` of all models but the k-th, from ``[n, K]``."""
    others = [j for j in range(probabilities.shape[1]) if j != k]
    return probabilities[:, others].mean(1)


def choose(labels: Tensor, confidence: float, room: int, positives: float) -> Tensor:
    """Which pairs to label: the most confident ones, in both classes.

    Args:
        labels: probabilities ``[n]``.
        confidence: least probability of the likelier class.
        room: most pairs.
        positives: share of `room` that is for the likely ones; the rest is for the unlikely.

    Returns:
        int64, ascending positions; fewer than `room` where there are not enough of a class.
    """
    likely = round(room * positives)
    found = []
    for sure, most in ((labels, likely), (1 - labels, room - likely)):
        order = torch.sort(sure, descending=True, stable=True)
        found.append(order.indices[: int((order.values >= confidence).sum())][:most])
    return torch.cat(found).unique()  # at 0.5 a pair may be in both


def agreement(probabilities: Tensor) -> float:
    """Mean over two of the models of the share of rows of ``[n, K]`` that both put on one side."""
    sides = probabilities >= 0.5
    pairs = list(combinations(range(sides.shape[1]), 2))
    return sum((sides[:, a] == sides[:, b]).double().mean().item() for a, b in pairs) / len(pairs)

"""Select the pairs that the other models label for a model."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor


def by_others(probabilities: Tensor, k: int) -> Tensor:
    """Mean probability ``[n]`` of all models but the k-th, from ``[n, K]``."""
    others = [j for j in range(probabilities.shape[1]) if j != k]
    return probabilities[:, others].mean(1)


def choose(labels: Tensor, confidence: float, room: int, positives: float) -> Tensor:
    """Select the most confident pairs of both classes.

    Args:
        labels: probabilities ``[n]``.
        confidence: minimum probability of the more likely class.
        room: maximum number of pairs.
        positives: share of `room` reserved for positives; the rest is for negatives.

    Returns:
        Positions in ascending order, int64; fewer than `room` if a class has too few.
    """
    likely = round(room * positives)
    chosen = []
    for probability, most in ((labels, likely), (1 - labels, room - likely)):
        order = torch.sort(probability, descending=True, stable=True)
        chosen.append(order.indices[: int((order.values >= confidence).sum())][:most])
    return torch.cat(chosen).unique()  # at 0.5 a pair may be in both


def agreement(probabilities: Tensor) -> float:
    """Share of rows ``[n, K]`` on the same side of 0.5 in two models, averaged over model pairs."""
    sides = probabilities >= 0.5
    pairs = list(combinations(range(sides.shape[1]), 2))
    return sum((sides[:, a] == sides[:, b]).double().mean().item() for a, b in pairs) / len(pairs)

"""What each inner step does to the users' support loss, weights and parameters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from metaselector.data.encoded.batch import Batch
from metaselector.data.interactions import Floats
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.contract import Step
from metaselector.meta.parameters import PHI
from metaselector.models.losses import MeanLoss
from metaselector.models.mixture import Mixture, MixtureOutput


class InnerSteps(NamedTuple):
    """The first axis, N, is the number of steps taken, from 0 to all.

    Attributes:
        support_loss: ``[N, U]``, unweighted mean loss of the support rows, in nats; nan for users
            without support.
        weights: ``[N, U, K]``, the mean over the query rows (and tasks).
        moved: ``[N, U]`` for the ``selector`` and each base model: the Euclidean distance of the
            parameters from their initial values.
    """

    support_loss: Floats
    weights: Floats
    moved: dict[str, Floats]


def with_support_in_query(episodes: Episodes) -> Episodes:
    """The episodes with a query of S + Q rows: the support, then the query."""
    return Episodes(episodes.support, _beside(episodes.support, episodes.query))


def inner_steps(
    mixture: Mixture, steps: Sequence[Step], episodes: Episodes, loss: MeanLoss
) -> InnerSteps:
    """Summarise what an engine found at each step for the users of `episodes`.

    Args:
        steps: with outputs on the rows of :func:`with_support_in_query`.
    """
    support, query = episodes.support, episodes.query
    size = support.mask.shape[1]
    losses, weights = [], []
    moved: dict[str, list[Floats]] = {group: [] for group in ("selector", *mixture.base_models)}
    for output, squares in steps:  # outputs [U, S + Q]
        on_support = MixtureOutput(*(part[:, :size] for part in output))
        lost = vmap(loss)(on_support, support.labels, support.mask).double()
        losses.append(lost.where(support.mask.any(1), torch.nan).cpu().numpy())
        weights.append(_mean(output.weights[:, size:].double(), query.mask))
        distances = _distances(squares)
        for group, found in moved.items():
            found.append(distances.get(group, np.zeros(len(support.mask))))
    return InnerSteps(
        np.stack(losses),
        np.stack(weights),
        {group: np.stack(found) for group, found in moved.items()},
    )


def _distances(squares: Mapping[str, Tensor]) -> dict[str, Floats]:
    """By group the distance ``[U]`` from the start."""
    of_group: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()).double())
    for name, square in squares.items():
        group = "selector" if name.startswith(PHI) else name.split(".")[1]
        of_group[group] = of_group[group] + square.cpu()
    return {group: total.sqrt().numpy() for group, total in of_group.items()}


def _mean(weights: Tensor, mask: Tensor) -> Floats:
    """``[U, K]`` of weights ``[U, Q, K]`` or ``[U, Q, K, T]``, over the rows of the mask."""
    if weights.ndim > 3:
        weights = weights.mean(3)
    total = (weights * mask.unsqueeze(2)).sum(1)
    found: Floats = (total / mask.sum(1, keepdim=True).clamp_min(1)).cpu().numpy()
    return found


def _beside(first: Rows, second: Rows) -> Rows:
    """The rows of both, ``[U, R1 + R2]``."""
    pairs = zip(first.batch, second.batch, strict=True)
    hours = [of for of in (first.hours, second.hours) if of is not None]
    return Rows(
        Batch(*(torch.cat(pair, dim=1) for pair in pairs)),
        torch.cat([first.labels, second.labels], dim=1),
        torch.cat([first.mask, second.mask], dim=1),
        torch.cat(hours, dim=1) if len(hours) == 2 else None,
    )

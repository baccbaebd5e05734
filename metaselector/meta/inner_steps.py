"""What each inner step does to users: their support loss, weights, and parameters."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import Tensors
from metaselector.meta.parameters import PHI
from metaselector.models.losses import MeanLoss
from metaselector.models.mixture import Mixture, MixtureOutput

Floats = NDArray[np.float64]


class InnerSteps(NamedTuple):
    """The first axis, N, is how many steps were taken, from 0 to all.

    Attributes:
        support_loss: ``[N, U]``, mean loss of the support rows, all weighed alike, in nats; nan of
            users without any.
        weights: ``[N, U, K]``, the mean over the query rows (and tasks).
        moved: ``[N, U]`` by group, the ``selector`` and each base model: the Euclidean distance of
            the parameters from where they started.
    """

    support_loss: Floats
    weights: Floats
    moved: dict[str, Floats]


@torch.no_grad()
def inner_steps(
    mixture: Mixture, alpha: Tensors, adaptation: Adaptation, episodes: Episodes, loss: MeanLoss
) -> InnerSteps:
    """Take the inner loop of U users step by step, all at once."""
    params = dict(mixture.named_parameters())
    both = Episodes(episodes.support, _beside(episodes.support, episodes.query))
    size = episodes.support.mask.shape[1]
    losses, weights = [], []
    moved: dict[str, list[Floats]] = {group: [] for group in ("selector", *mixture.base_models)}
    for steps in range(adaptation.steps + 1):
        taken = adaptation.with_steps(steps)
        output = FuncEngine()(mixture, params, alpha, taken, both, loss)  # rows [U, S + Q]
        on_support = MixtureOutput(*(part[:, :size] for part in output))
        mask = episodes.support.mask
        lost = vmap(loss)(on_support, episodes.support.labels, mask).double()
        losses.append(lost.where(mask.any(1), torch.nan).cpu().numpy())
        weights.append(_mean(output.weights[:, size:].double(), episodes.query.mask))
        distances = _moved(mixture, params, alpha, taken, episodes, loss)
        for group, found in moved.items():
            found.append(distances.get(group, np.zeros(len(mask))))
    return InnerSteps(
        np.stack(losses),
        np.stack(weights),
        {group: np.stack(found) for group, found in moved.items()},
    )


def _moved(
    mixture: Mixture,
    params: Tensors,
    alpha: Tensors,
    adaptation: Adaptation,
    episodes: Episodes,
    loss: MeanLoss,
) -> dict[str, Floats]:
    """By group the distance ``[U]`` from the start."""
    adapted = FuncEngine().adapt(mixture, params, alpha, adaptation, episodes, loss)
    squares: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()).double())
    for name in adaptation.names if adaptation.steps else ():
        start = params[name]
        if adapted.rows is not None and name in mixture.tables:
            # Only rows that a user touches, each once; those that pad them do not move.
            start = start[adapted.rows]  # [U, L, ...]
        group = "selector" if name.startswith(PHI) else name.split(".")[1]
        change = (adapted.own[name] - start).double()
        squares[group] = squares[group] + change.square().flatten(1).sum(1).cpu()
    return {group: total.sqrt().numpy() for group, total in squares.items()}


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
    return Rows(
        Batch(*(torch.cat(pair, dim=1) for pair in pairs)),
        torch.cat([first.labels, second.labels], dim=1),
        torch.cat([first.mask, second.mask], dim=1),
    )

"""Adapt users and predict their next rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metaselector.adapt.engine import Adaptation
from metaselector.adapt.engines import make_engine
from metaselector.adapt.rules import Tensors
from metaselector.config import AdaptConfig
from metaselector.data.dataset import EncodedDataset
from metaselector.data.episodes import EpisodeRows, load_episodes, window_episodes
from metaselector.mixture import Mixed, Mixture, make_loss


class WindowPredictions(NamedTuple):
    """Predictions for the query rows of episodes, in the order of the data set.

    Attributes:
        rows: int64 ``[n]``, positions in the data set.
        probabilities: float64 ``[n]``, or ``[n, T]`` of several tasks.
        weights: float32 ``[n, K]`` or ``[n, K, T]``.
        losses: float64 ``[n]``, what each row adds to the loss, in nats: its logloss, or the
            weighted sum of those of the tasks that are observed.
    """

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    weights: NDArray[np.float32]
    losses: NDArray[np.float64]

    def loss(self) -> float:
        """Mean of all rows."""
        return float(self.losses.mean())


def predict_window(
    mixture: Mixture,
    alpha: Tensors,
    adaptation: Adaptation,
    dataset: EncodedDataset,
    window: tuple[int, int],
    config: AdaptConfig,
) -> WindowPredictions:
    """Adapt each user on the latest rows before the window, then predict the whole window.

    Args:
        window: start and end in percent of each user's rows.
    """
    episodes = window_episodes(dataset, window, config.support_size)
    return predict_episodes(mixture, alpha, adaptation, dataset, episodes, config)


@torch.no_grad()
def predict_episodes(
    mixture: Mixture,
    alpha: Tensors,
    adaptation: Adaptation,
    dataset: EncodedDataset,
    episodes: EpisodeRows,
    config: AdaptConfig,
) -> WindowPredictions:
    """Adapt each user on the support, then predict the query."""
    device = next(mixture.parameters()).device
    sizes = (episodes.query >= 0).sum(axis=1)
    order = np.argsort(sizes, kind="stable")  # users of like size share a chunk: less padding
    params = dict(mixture.named_parameters())
    engine = make_engine(config.engine)
    loss = make_loss(dataset.schema.tasks, config.task_weights)
    parts: list[WindowPredictions] = []
    for i in range(0, len(order), config.max_users_per_chunk):
        rows = episodes.some(order[i : i + config.max_users_per_chunk])
        batch = load_episodes(dataset, rows).to(device)
        output = engine(mixture, params, alpha, adaptation, batch, loss)
        parts.append(_unpad(output, loss.rows(output, batch.query.labels), rows.query))
    by_row = np.argsort(np.concatenate([part.rows for part in parts]))
    return WindowPredictions(
        rows=np.concatenate([part.rows for part in parts])[by_row],
        probabilities=np.concatenate([part.probabilities for part in parts])[by_row],
        weights=np.concatenate([part.weights for part in parts])[by_row],
        losses=np.concatenate([part.losses for part in parts])[by_row],
    )


def _unpad(output: Mixed, losses: torch.Tensor, query: NDArray[np.int64]) -> WindowPredictions:
    present = query >= 0
    return WindowPredictions(
        query[present],
        output.log_positive.exp().double().cpu().numpy()[present],
        output.weights.cpu().numpy()[present],
        losses.double().cpu().numpy()[present],
    )

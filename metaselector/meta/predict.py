"""Adapt users and predict their next rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metaselector.config import AdaptConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import EpisodeRows, load_episodes, window_episodes
from metaselector.data.splitting.protocol import EvaluationProtocol
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.rules import Tensors
from metaselector.meta.parameters import MetaParameters, parameters_of
from metaselector.models.losses import make_loss
from metaselector.models.mixture import Mixture, MixtureOutput
from metaselector.training.distributed import workers


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
    empty = _empty(mixture, len(dataset.schema.tasks))
    for i in range(0, len(order), config.max_users_per_chunk):
        rows = episodes.some(order[i : i + config.max_users_per_chunk])
        if i // config.max_users_per_chunk % workers.count() == workers.rank():
            batch = load_episodes(dataset, rows).to(device)
            output = engine(mixture, params, alpha, adaptation, batch, loss)
            parts.append(_unpad(output, loss.rows(output, batch.query.labels), rows.query))
        else:
            parts.append(empty(rows.query[rows.query >= 0]))
    by_row = np.argsort(np.concatenate([part.rows for part in parts]))
    found = (np.concatenate(column)[by_row] for column in zip(*parts, strict=True))
    rows_found, probabilities, weights, losses = found
    # What other workers have predicted is 0 here, and a sum with zeros is exact.
    return WindowPredictions(rows_found, *map(workers.summed, (probabilities, weights, losses)))


def _empty(mixture: Mixture, tasks: int) -> Callable[[NDArray[np.int64]], WindowPredictions]:
    """Zeros in place of what another worker predicts."""
    of_row = () if tasks == 1 else (tasks,)
    weights = (len(mixture.base_models), *of_row)

    def zeros(rows: NDArray[np.int64]) -> WindowPredictions:
        n = len(rows)
        return WindowPredictions(
            rows, np.zeros((n, *of_row)), np.zeros((n, *weights), np.float32), np.zeros(n)
        )

    return zeros


def _unpad(
    output: MixtureOutput, losses: torch.Tensor, query: NDArray[np.int64]
) -> WindowPredictions:
    present = query >= 0
    return WindowPredictions(
        query[present],
        output.log_positive.exp().double().cpu().numpy()[present],
        output.weights.cpu().numpy()[present],
        losses.double().cpu().numpy()[present],
    )


def valid_loss(
    candidate: MetaParameters,
    mixture: Mixture,
    adaptation: Adaptation,
    protocol: EvaluationProtocol,
) -> float:
    """Mean logloss of the queries of *valid*, averaged over the protocol's tables.

    Args:
        candidate: what to attach.
        mixture: on base models trained on *train*; restored.
    """
    before = parameters_of(mixture)
    candidate.attach(mixture)
    adapt = protocol.config.adapt
    losses = [
        predict_episodes(
            mixture, candidate.alpha, adaptation, protocol.dataset, evaluation_split.valid, adapt
        ).loss()
        for evaluation_split in protocol.evaluation_splits
    ]
    with torch.no_grad():
        for name, parameter in mixture.named_parameters():
            parameter.copy_(before[name])
    return float(np.mean(losses))

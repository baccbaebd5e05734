"""What each inner step does to one user's support loss, weights and parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from metaselector.data.preparation.new_rows import NewRows
from metaselector.data.splitting.episodes import EpisodeRows, load_episodes
from metaselector.data.splitting.hours import hours_of
from metaselector.data.splitting.lists import whole_lists
from metaselector.inference.trained import TrainedModel


def trace(model: TrainedModel, rows: NewRows) -> pd.DataFrame:
    """Follow one user's inner loop step by step.

    Args:
        rows: the history of one user. Decay by time counts from its last row.

    Returns:
        a row for each number of steps, from 0 to all: ``step``; ``support_loss``, the unweighted
        mean loss of the support rows, in nats; ``weight_<base model>``, the mean weight over
        support rows (and tasks); ``moved_<group>``, the Euclidean distance of the parameters of
        the ``selector`` or a base model from their initial values. Without history there are no
        rows.
    """
    support = rows.history[-model.support_size :][None]  # [1, S]
    support = whole_lists(support, rows.dataset.list_offsets)
    user = np.zeros(1, dtype=np.int64)
    episodes = load_episodes(rows.dataset, EpisodeRows(user, support, support), to_predict=False)
    hours, _ = hours_of(rows.dataset, support, support[:, -1:])
    episodes = replace(episodes, support=replace(episodes.support, hours=hours))
    with model.lock:
        found = model.adapted.trace(episodes.to(model.config.device))
    columns = {"step": np.arange(len(found.weights)), "support_loss": found.support_loss[:, 0]}
    columns |= {f"weight_{n}": found.weights[:, 0, k] for k, n in enumerate(model.base_models)}
    return pd.DataFrame(columns | {f"moved_{n}": moved[:, 0] for n, moved in found.moved.items()})

"""What a run's base models predict, whether they were trained or are scores of another system."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from metaselector.data.splitting.protocol import Window
from metaselector.runs.run import Run
from metaselector.training.predict import predict


def base_probabilities(
    run: Run,
    window: Window,
    seed: int,
    rows: NDArray[np.int64],
    limits: NDArray[np.int64] | None,
    *,
    to_predict: bool = True,
) -> NDArray[np.float64]:
    """Predict with the base models trained on `window`.

    Args:
        run: its base models are trained, unless they are all scores from files.
        window: what the models were trained on.
        seed: of the models.
        rows: int64 ``[N]``, positions in the data set.
        limits: as in :func:`metaselector.training.predict.predict`.
        to_predict: whether the rows are as rows to predict, or as support rows.

    Returns:
        Probabilities ``[N, K, T]`` of K models for T tasks.

    Raises:
        CheckpointError: a model is missing or does not fit the data.
    """
    dataset = run.dataset.as_predicted if to_predict else run.dataset
    checkpoints = run.checkpoints
    checkpoints.fill_scores(window, seed)
    logits = [
        torch.from_numpy(checkpoints.scores(name, window, seed)[rows])
        if name in run.scored
        else predict(checkpoints.load_base(name, window, seed), dataset, rows, limits)
        for name in run.config.base_models
    ]
    base = torch.sigmoid(torch.stack(logits, dim=1).double()).numpy()  # [N, K] or [N, K, T]
    return base.reshape(len(rows), len(logits), len(dataset.schema.tasks))

"""What a run's base models predict, whether they were trained or are scores of another system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.data.splitting.protocol import EvaluationSplit, Window
from metaselector.evaluate.combiners import Predictions
from metaselector.evaluate.row_features import RowFeatures, row_features
from metaselector.runs.run import Run
from metaselector.training.predict import predict


@dataclass(frozen=True)
class Outputs:
    """Predictions of base models for n rows.

    Attributes:
        rows: int64 ``[n]``, positions in the data set.
        users: int64 ``[n]``.
        episodes: int64 ``[n]``, which episode a row belongs to; new users may have several.
        base: probabilities, float64 ``[n, K, T]``.
        labels: float32 ``[n, T]``, nan where a task is not observed.
        features: features of the rows, for stacking; None where nothing is stacked.
    """

    rows: NDArray[np.int64]
    users: NDArray[np.int64]
    episodes: NDArray[np.int64]
    base: NDArray[np.float64]
    labels: NDArray[np.float32]
    features: RowFeatures | None

    def of(self, task: int, *, by_episode: bool = False) -> Predictions:
        """Return the predictions of the rows in which a task is observed.

        Args:
            by_episode: name the episode of a row as its user.
        """
        observed = ~np.isnan(self.labels[:, task])
        seen = slice(None) if observed.all() else observed  # a slice copies nothing
        y = self.labels[seen, task].astype(np.float64)
        return Predictions(
            self.base[seen, :, task],
            (self.episodes if by_episode else self.users)[seen],
            order=self.rows[seen],
            y=y,
            features=None if self.features is None else self.features.values[seen],
            categorical=() if self.features is None else self.features.categorical,
        )


class BaseOutputs(NamedTuple):
    """What the base models of one seed predict, for all tasks.

    Attributes:
        fitting: of *valid*, by the base models trained on *train*.
        unseen, train_only: of *test*, by the refitted base models and by those trained on *train*.
        support, own: of the support sets of *valid* and *test*, if base models have not seen them.
    """

    fitting: Outputs
    unseen: Outputs
    train_only: Outputs
    support: Outputs | None
    own: Outputs | None


def base_outputs(run: Run, evaluation_split: EvaluationSplit, seed: int) -> BaseOutputs:
    """Predict with the base models of one seed."""
    is_unseen = evaluation_split.support_is_unseen
    return BaseOutputs(
        _outputs(run, "train", seed, evaluation_split.valid, "query"),
        _outputs(run, "full", seed, evaluation_split.test, "query"),
        _outputs(run, "train", seed, evaluation_split.test, "query", stacked=False),
        _outputs(run, "train", seed, evaluation_split.valid, "support") if is_unseen else None,
        _outputs(run, "full", seed, evaluation_split.test, "support") if is_unseen else None,
    )


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


def _outputs(
    run: Run,
    window: Window,
    seed: int,
    episodes: EpisodeRows,
    part: Literal["support", "query"],
    *,
    stacked: bool = True,
) -> Outputs:
    """Return what the base models of `window` predict for one part of the episodes."""
    dataset, (rows, limits) = run.dataset, episodes.flat(part)
    asked = part == "query"
    base = base_probabilities(run, window, seed, rows, limits, to_predict=asked)  # [n, K, T]
    shown = dataset.as_predicted if asked else dataset
    features = row_features(shown, rows, limits) if stacked else None
    users, labels = dataset.users[rows], dataset.task_labels[rows]
    owner = np.nonzero(getattr(episodes, part) >= 0)[0]
    return Outputs(rows, users, owner, base, labels, features)

"""Fit estimators as base models, and score all rows with them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from metaselector.common.errors import ConfigError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Floats
from metaselector.data.splitting.protocol import Window
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.row_features import row_table
from metaselector.models.estimators import Estimator, create_estimator, fit, of_positive, refused
from metaselector.models.kept_estimators import keep
from metaselector.models.precomputed import FittedScores
from metaselector.models.score_files import to_logits
from metaselector.runs.run import Run
from metaselector.training.pretrain import Pretrained

_AT_ONCE = 65_536
"""Rows scored at a time, which bounds memory."""


def check_estimators(run: Run, windows: Sequence[Window]) -> None:
    """Create every estimator that is still to be fitted, so that errors show before training.

    Raises:
        ConfigError: as :func:`~metaselector.models.estimators.create_estimator`.
    """
    for name, settings in run.config.base_models.items():
        for seed in run.config.seeds if settings.estimator else ():
            if not all(run.checkpoints.has_base(name, window, seed) for window in windows):
                create_estimator(name, settings, seed)


def fit_estimator(
    run: Run, name: str, window: Window, seed: int
) -> tuple[FittedScores, Pretrained]:
    """Fit a classifier on the rows that the base models of `window` are fitted on.

    It uses as many threads as the run, as far as :mod:`threadpoolctl` can limit them.

    Returns:
        Its scores of all rows, in *full* itself if it can be kept, and a history of one epoch: the
        mean logloss of the rows it was fitted on and, except for *full*, of those on which other
        base models stop early.

    Raises:
        ConfigError: as :func:`~metaselector.models.estimators.create_estimator`; or it fails to
            fit, or does not return probabilities.
    """
    started = time.perf_counter()
    settings, dataset = run.config.base_models[name], run.dataset
    rows = run.protocol.fitting_rows(window)
    estimator = create_estimator(name, settings, seed)
    table, categories = row_table(dataset, rows)
    with threadpool_limits(run.config.threads_of_process):
        try:
            fit(estimator, table, dataset.labels[rows].astype(np.int64), categories)
            p = _probabilities(estimator, dataset.as_predicted)
        except ConfigError as error:
            raise ConfigError(f"base_models.{name}: {error}") from error
        except Exception as error:  # the class may raise anything
            raise refused(name, str(settings.estimator), "cannot be fitted", error) from error
    logits = to_logits(p)
    losses = row_logloss(dataset.labels, 1 / (1 + np.exp(-logits.astype(np.float64))))
    valid = None if window == "full" else float(losses[run.protocol.stopping_rows()].mean())
    history = [{"epoch": 1, "train_loss": float(losses[rows].mean()), "valid_loss": valid}]
    # Only the models fitted on all rows before *test* predict new rows.
    kept = keep(estimator, str(settings.estimator), table) if window == "full" else None
    return FittedScores(logits, kept), Pretrained(1, history, time.perf_counter() - started)


def _probabilities(estimator: Estimator, dataset: EncodedDataset) -> Floats:
    """Return the probability of a positive label for all rows, float64 ``[N]``."""
    parts = []
    for start in range(0, len(dataset), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(dataset)))
        parts.append(of_positive(estimator.predict_proba(row_table(dataset, rows)[0]), len(rows)))
    return np.concatenate(parts)

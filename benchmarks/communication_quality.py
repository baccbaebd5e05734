"""Metrics on *test* for each way to communicate, compared with dense gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.communication_worker import run_of
from metaselector.evaluate.bootstrap import difference, resample
from metaselector.evaluate.predictions import long_table
from metaselector.runs.run import Run

METRICS = ("auc", "logloss")


def predictions(base: Run, ways: Sequence[str]) -> pd.DataFrame:
    """Long table of the predictions of joint MetaSelector; each way is a model."""
    (evaluation_split,) = base.protocol.evaluation_splits
    found = []
    for seed in base.config.seeds:
        for way in ways:
            run = run_of(base.directory, base.config, way)
            model = run.checkpoints.load_adapted("metaselector", seed)
            made = model.predict(base.dataset, evaluation_split.test)
            found.append(long_table(seed, way, base.dataset, made.rows, made.probabilities))
    return pd.concat(found, ignore_index=True)


def compare(base: Run, ways: Sequence[str], reference: str) -> pd.DataFrame:
    """Mean over seeds and difference from `reference`, by way.

    Columns: ``way``, and for each of :data:`METRICS` its name, ``<name>_difference``,
    ``<name>_low``, ``<name>_high`` (95 % interval of the paired bootstrap over users) and
    ``<name>_std`` (standard deviation of the difference over seeds; nan for one seed).
    """
    table, seeds = predictions(base, ways), base.config.seeds
    resamples = base.config.evaluate.resamples
    scores = resample(table, METRICS, resamples, np.random.default_rng(0))
    rows = []
    for way in ways:
        row: dict[str, object] = {"way": way}
        for metric in METRICS:
            of = scores[metric]
            found = difference(of, dict.fromkeys(seeds, (way, reference)))
            each = [float(of[seed, way][0] - of[seed, reference][0]) for seed in seeds]
            row |= {
                metric: float(np.mean([of[seed, way][0] for seed in seeds])),
                f"{metric}_difference": found.difference,
                f"{metric}_low": found.low,
                f"{metric}_high": found.high,
                f"{metric}_std": float(np.std(each, ddof=1)) if len(each) > 1 else np.nan,
            }
        rows.append(row)
    return pd.DataFrame(rows)

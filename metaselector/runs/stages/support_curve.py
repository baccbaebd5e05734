"""Measure the trained models of a run with 0, 1, 2, … support rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from metaselector.common.progress import Progress
from metaselector.data.interactions import Floats, Ints
from metaselector.data.splitting.drawn import some_users
from metaselector.data.splitting.protocol import EvaluationSplit
from metaselector.evaluate.support_curve import MODELS, NOT_ADAPTED, SIZES, SupportCurve
from metaselector.meta.adapted import AdaptedModel, WindowPredictions
from metaselector.meta.variants import Variant
from metaselector.runs.run import Run

MOST_USERS = 10_000
"""Users of *test*, drawn at random, who are measured, if there are more: each of several models
predicts all of them with every number of rows."""
Point = tuple[int, str, int, Ints, Floats, Floats, Floats]
"""Arguments of :meth:`metaselector.evaluate.support_curve.SupportCurve.add`."""


def support_curve(
    run: Run, progress: Progress, points: Iterable[list[Point]] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure all seeds of a trained run on *test*.

    With several tasks, logloss is the weighted sum over a row's observed tasks; AUC and GAUC are of
    the first task.

    Args:
        run: a trained run.
        progress: where to report progress.
        points: :func:`points_of_seed` of all seeds, if other processes compute them.

    Returns:
        Metrics (:data:`metaselector.evaluate.support_curve.COLUMNS`) and differences
        (:data:`metaselector.evaluate.support_curve.DIFFERENCE_COLUMNS`).

    Raises:
        CheckpointError: the run was not trained with its settings.
    """
    curve = SupportCurve(run.dataset.num_users)
    for of_seed in _here(run, progress) if points is None else points:
        for point in of_seed:
            curve.add(*point)
    return curve.table(), curve.differences(run.config.evaluate.resamples, progress)


def _here(run: Run, progress: Progress) -> Iterator[list[Point]]:
    with progress.task("support curve", len(run.config.seeds)) as advance:
        for seed in run.config.seeds:
            yield points_of_seed(run, seed)
            advance()


def help_support_curve(run: Run) -> None:
    """Compute this worker's share of the predictions, while the main worker measures."""
    for seed in run.config.seeds:
        for model in curve_models(run):
            for _ in _predictions(run, seed, model):
                pass


def not_adapted(joint: AdaptedModel) -> AdaptedModel:
    """Joint MetaSelector as it is before it adapts to a user, and without its correction."""
    return replace(joint, adaptation=replace(joint.adaptation.with_steps(0), residuals=None))


def points_of_seed(run: Run, seed: int) -> list[Point]:
    """What a seed adds to the curve."""
    return [point for model in curve_models(run) for point in points_of_model(run, seed, model)]


def points_of_model(run: Run, seed: int, model: str) -> list[Point]:
    """What a seed adds to the curve for one of :func:`curve_models`."""
    dataset = run.dataset
    return [
        (
            seed,
            model,
            n,
            dataset.users[found.rows],
            found.losses,
            dataset.task_labels[found.rows, 0].astype(np.float64),
            found.probabilities.reshape(len(found.rows), -1)[:, 0],
        )
        for n, found in _predictions(run, seed, model)
    ]


def curve_models(run: Run) -> dict[str, Variant]:
    """The models of the curve, in its order, and the variant behind each."""
    own: dict[str, Variant] = {variant: variant for variant in run.variants if variant in MODELS}
    return {NOT_ADAPTED: "metaselector", **own}


def _predictions(run: Run, seed: int, model: str) -> Iterator[tuple[int, WindowPredictions]]:
    """Predictions of *test* by number of support rows."""
    variant = curve_models(run)[model]
    loaded: dict[str, AdaptedModel] = {}
    for n in _sizes(run):
        split = _split_of(run, n)
        if split.name not in loaded:  # a rival has settings for each split
            loaded = {split.name: run.checkpoints.load_adapted(variant, seed, split=split)}
        made = loaded[split.name]
        if model == NOT_ADAPTED:
            made = not_adapted(made)
        episodes = some_users(run.protocol.test_episodes(n), MOST_USERS)
        yield n, made.predict(run.dataset, episodes)


def _split_of(run: Run, n: int) -> EvaluationSplit:
    """The first evaluation split with at least `n` support rows."""
    splits = run.protocol.evaluation_splits
    enough = (split for split in splits if split.test.support.shape[1] >= n)
    return next(enough, splits[-1])


def _sizes(run: Run) -> list[int]:
    """Numbers of support rows up to the largest of the settings, which is one of them."""
    most = run.protocol.most_support_rows
    return [*(n for n in SIZES if n < most), most]

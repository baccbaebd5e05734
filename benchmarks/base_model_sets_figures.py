"""The figures of :mod:`benchmarks.base_model_sets`: headroom, selectors on each set, seconds."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from itertools import product

import numpy as np
import pandas as pd

from metaselector.common.progress import Progress
from metaselector.data.splitting.protocol import WINDOWS, Window
from metaselector.evaluate.bootstrap import difference, resample
from metaselector.evaluate.headroom_table import COLUMNS
from metaselector.evaluate.metrics import METRICS
from metaselector.evaluate.predictions import long_table
from metaselector.meta.variants import Variant
from metaselector.runs.run import Run
from metaselector.runs.stages.base_outputs import base_probabilities
from metaselector.runs.stages.headroom import measure_headroom
from metaselector.runs.stages.train import train_variant

VARIANTS: tuple[Variant, ...] = ("sample-selector", "metaselector")
COMPARED = ("logloss", "gauc")
TRAINED_ON: dict[str, Window] = {"valid": "train", "test": "full"}
"""By window, what the base models that predict it were trained on."""


def run_of(names: Collection[str], base: Run, folder: str = ".") -> Run:
    """The run with some of the base models of `base`, in a folder inside it."""
    kept = {name: model for name, model in base.config.base_models.items() if name in names}
    config = base.config.model_copy(update={"base_models": kept})
    return Run(base.directory / folder, config, parent=base.directory)


def figures_of(base: Run, sets: Sequence[str], progress: Progress) -> pd.DataFrame:
    """All figures, with the columns of ``headroom.csv`` after ``set``."""
    resamples = min(base.config.evaluate.resamples, 1000)
    tables, predicted = [], []
    for each in sets:
        run = run_of(each.split("+"), base, f"base-model-sets/{each}")
        ((_, headroom),) = measure_headroom(run, None, resamples, progress)
        for seed in base.config.seeds:
            _meta_train(run, each, seed, progress)
        tables += [headroom.assign(set=each), _seconds(run).assign(set=each)]
        predicted.append(_predictions(run).assign(set=each))
    predictions = pd.concat(predicted)
    compared = [_differences(predictions, base, window) for window in TRAINED_ON]
    table = pd.concat([*tables, _scores(predictions), *compared], ignore_index=True)
    return table[["set", *COLUMNS]].astype({"seed": "Int64", "n": "Int64"})


def _meta_train(run: Run, name: str, seed: int, progress: Progress) -> None:
    """Train what is not trained yet; its seconds are those of the processor."""
    for variant in VARIANTS:
        description = f"{name}, seed {seed}: {variant}"
        if run.checkpoints.has_learned(variant, seed):
            progress.skipped(description)
            continue
        started = time.process_time()
        learned = train_variant(run, variant, seed, description=description, progress=progress)
        learned.seconds = time.process_time() - started
        run.checkpoints.save_learned(variant, seed, learned)


def _seconds(run: Run) -> pd.DataFrame:
    found: list[tuple[int, str, float]] = []
    for seed in run.config.seeds:
        made = product(run.config.base_models, WINDOWS)
        base = sum(run.checkpoints.base_record(*each, seed).seconds for each in made)
        meta = sum(run.checkpoints.learned_record(each, seed).seconds for each in VARIANTS)
        found += [(seed, "seconds-base-models", base), (seed, "seconds-meta-training", meta)]
    return pd.DataFrame(found, columns=["seed", "figure", "value"])


def _predictions(run: Run) -> pd.DataFrame:
    """The long table of the uniform average and the selectors, with ``window``."""
    (split,) = run.protocol.evaluation_splits
    tables = []
    for seed, (window, trained_on) in product(run.config.seeds, TRAINED_ON.items()):
        episodes = split.valid if window == "valid" else split.test
        rows, limits = episodes.flat("query")
        base = base_probabilities(run, trained_on, seed, rows, limits)[:, :, 0]  # [N, K]
        made = {"uniform": base.mean(axis=1)}
        for variant in VARIANTS:
            model = run.checkpoints.load_adapted(variant, seed, trained_on)
            made[variant] = model.predict(run.dataset, episodes).probabilities
        tables += [
            long_table(seed, model, run.dataset, rows, p).assign(window=window)
            for model, p in made.items()
        ]
    return pd.concat(tables)


def _scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Metrics of each model on each set."""
    keys = ["set", "window", "seed", "model"]
    records = []
    for key, of_model in predictions.groupby(keys, sort=False):
        for metric in COMPARED:
            value = METRICS[metric](of_model["y"], of_model["p"], of_model["user"])
            records.append((*key[:3], f"{key[3]}-{metric}", value))
    return pd.DataFrame(records, columns=[*keys[:3], "figure", "value"])


def _differences(predictions: pd.DataFrame, base: Run, window: str) -> pd.DataFrame:
    """Differences of joint MetaSelector on each set from that on the first."""
    joint = predictions["model"].eq("metaselector") & predictions["window"].eq(window)
    table = predictions[joint].assign(model=predictions.loc[joint, "set"])
    generator = np.random.default_rng(0)
    scores = resample(table, COMPARED, base.config.evaluate.resamples, generator)
    first, *_ = sets = list(table["model"].unique())
    records = []
    for each, metric in product(sets, COMPARED):
        found = difference(scores[metric], dict.fromkeys(base.config.seeds, (each, first)))
        records.append((each, window, f"difference-{metric}", *found[:3]))
    return pd.DataFrame(records, columns=["set", "window", "figure", "value", "low", "high"])

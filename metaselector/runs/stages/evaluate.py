"""Predict the test window with everything that was trained, and score the predictions.

Only the combiners are fitted here: on *valid*, as predicted by the base models trained on *train*.
For new users, per-user combiners are fitted on the users' support sets instead. They then combine
the refitted base models, and see no label of *test*. Each task has its own tables and combiners, on
the rows where the task is observed. All rows of the table use the same information: their base
models are refitted on *train* and *valid*. The rows ``<model>-train`` are the single models without
that refit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from metaselector.common.errors import ConfigError
from metaselector.common.extras import install_extra
from metaselector.common.files import write_text
from metaselector.common.progress import Progress
from metaselector.config import Config
from metaselector.config.plugins.kinds import METRICS
from metaselector.data.splitting.protocol import WINDOWS, EvaluationSplit
from metaselector.evaluate.alignment import PredictionTable
from metaselector.evaluate.combiners import OPTIONAL, usable_combiners
from metaselector.evaluate.comparisons import compare
from metaselector.evaluate.lists import COLUMNS as OF_LISTS
from metaselector.evaluate.metrics import Metric
from metaselector.evaluate.plugin_metric import metric_of_plugin
from metaselector.evaluate.predictions import save_predictions, task_name
from metaselector.evaluate.results import COLUMNS as RESULT_COLUMNS
from metaselector.evaluate.results import best_model_counts, score, with_common_rows
from metaselector.evaluate.selector_weights import FILE, save_weights
from metaselector.meta.adapt.adaptation import is_number
from metaselector.meta.parameters import PHI
from metaselector.report.headroom import drop_outdated
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate_seed import (
    SeedEvaluation,
    evaluate_seed,
    help_predict,
    joined,
)
from metaselector.runs.stages.rivals import rivals
from metaselector.runs.stages.support_curve import Point, help_support_curve, support_curve


class Tested(NamedTuple):
    """What everything that a run trained predicts of *test*, by seed.

    Attributes:
        tables: the evaluations, by split and task.
        curve: see :func:`metaselector.runs.stages.support_curve.points_of_seed`.
    """

    tables: list[list[list[SeedEvaluation]]]
    curve: list[list[Point]]


def evaluate(run: Run, progress: Progress, tested: Tested | None = None) -> None:
    """Write predictions, weights, results, intervals and training records to the run directory.

    Args:
        run: a trained run.
        progress: where to report progress.
        tested: its predictions, if they have been made.
    """
    for name in OPTIONAL.keys() - usable_combiners().keys():
        progress.note(
            f"{name} is left out: {OPTIONAL[name]} cannot be imported; run "
            + install_extra(OPTIONAL[name])
        )
    splits, overall = run.protocol.evaluation_splits, run.protocol.overall
    if tested is None:
        seeds = [_evaluate_seeds(run, evaluation_split, progress) for evaluation_split in splits]
    else:
        seeds = [list(of_split) for of_split in zip(*tested.tables, strict=True)]
    tables = [_write_split(run, *found, progress) for found in zip(splits, seeds, strict=True)]
    if overall.folder not in [evaluation_split.folder for evaluation_split in splits]:
        every = [_together(parts) for parts in zip(*seeds, strict=True)]
        tables = [_write_split(run, overall, every, progress)]
    of_tasks = []
    for task, folder in enumerate(run.task_folders):
        of_tasks.append(pd.concat([parts[task] for parts in tables], ignore_index=True))
        if run.config.protocol == "cold":
            _write_csv(run, f"{folder}/support", of_tasks[-1])
    if len(of_tasks) > 1:
        named = zip(run.dataset.schema.tasks, of_tasks, strict=True)
        _write_csv(run, "tasks", pd.concat([table.assign(task=name) for name, table in named]))
    curve, differences = support_curve(run, progress, None if tested is None else tested.curve)
    _write_csv(run, "support_curve", curve)
    _write_csv(run, "support_curve_differences", differences)
    _write_csv(run, "history", _history(run))
    _write_csv(run, "rates", _rates(run))
    for split in run.protocol.evaluation_splits:
        _write_csv(run, f"{split.folder}/rivals", rivals(run, split))


def own_metrics(config: Config) -> dict[str, Metric]:
    """Return the metrics that the settings add, by column name.

    Raises:
        ConfigError: a metric cannot be loaded, has the name of another column, or does not return a
            number for four test rows.
    """
    found = {}
    y, p, users = np.array([0, 1, 1, 0]), np.array([0.2, 0.7, 0.4, 0.6]), np.array([*"aabb"])
    for name in config.evaluate.metrics:
        metric = metric_of_plugin(name, METRICS.load(name))
        metric(y, p, users)
        column = name.rpartition(":")[2]
        if column in (*RESULT_COLUMNS, *OF_LISTS):
            raise ConfigError(
                f"evaluate.metrics: results.csv already has a column '{column}'; rename {name}"
            )
        found[column] = metric
    return found


def help_evaluate(run: Run) -> None:
    """Compute this worker's share of the predictions, while the main worker evaluates."""
    for evaluation_split in run.protocol.evaluation_splits:
        for seed in run.config.seeds:
            help_predict(run, evaluation_split, seed)
    help_support_curve(run)


def _evaluate_seeds(
    run: Run, evaluation_split: EvaluationSplit, progress: Progress
) -> list[list[SeedEvaluation]]:
    """Return the evaluation of each seed, by task."""
    with progress.task(f"evaluate {evaluation_split.name}", len(run.config.seeds)) as advance:
        seeds = []
        for seed in run.config.seeds:
            seeds.append(evaluate_seed(run, evaluation_split, seed))
            advance()
    return seeds


def _together(splits: Sequence[list[SeedEvaluation]]) -> list[SeedEvaluation]:
    """Join the evaluations of one seed over the rows of all splits, by task."""
    return [joined(parts) for parts in zip(*splits, strict=True)]


def _write_split(
    run: Run,
    evaluation_split: EvaluationSplit,
    seeds: Sequence[list[SeedEvaluation]],
    progress: Progress,
) -> list[pd.DataFrame]:
    """Write the files of one evaluation split for each task, and return the result tables.

    For new users of the cold protocol, the tables also have metrics on the rows that all support
    sizes share.
    """
    return [
        _write_task(run, evaluation_split, folder, [parts[task] for parts in seeds], progress)
        for task, folder in enumerate(run.task_folders)
    ]


def _write_task(
    run: Run,
    evaluation_split: EvaluationSplit,
    task_folder: str,
    parts: list[SeedEvaluation],
    progress: Progress,
) -> pd.DataFrame:
    """Write the files of one split and task; `parts` has one element per seed."""
    seeds = run.config.seeds
    task = task_name(run.dataset, run.task_folders.index(task_folder))
    predictions, valid = (
        PredictionTable(dict(zip(seeds, of, strict=True)), task)
        for of in ([p.predictions for p in parts], [p.valid_predictions for p in parts])
    )
    best_single = dict(zip(seeds, (part.best_single for part in parts), strict=True))
    base_models = list(run.config.base_models)
    dataset = run.dataset.schema.dataset
    results = score(
        predictions,
        dataset=dataset,
        protocol=evaluation_split.name,
        best_single=best_single,
        base_models=base_models,
        metrics=own_metrics(run.config),
    )
    folder = PurePosixPath(task_folder) / evaluation_split.folder
    save_predictions(predictions, run.directory / folder / "predictions.parquet")
    save_predictions(valid, run.directory / folder / "valid_predictions.parquet")
    save_weights(run.directory / folder / FILE, [part.weights for part in parts], base_models)
    _write_csv(run, f"{folder}/results", results)
    drop_outdated(run.directory / folder, results, base_models)
    differences = compare(predictions, best_single, run.config.evaluate.resamples, progress)
    _write_csv(run, f"{folder}/differences", differences)
    counts = best_model_counts(predictions, base_models)
    _write_csv(run, f"{folder}/best_counts", counts)
    if run.config.protocol != "cold":
        return results
    last, _ = run.protocol.evaluation_splits[-1].test.flat("query")  # shared by all support sizes
    common = run.dataset.source_rows[last]
    found = with_common_rows(results, predictions, common, best_single, base_models)
    return found.assign(support_size=evaluation_split.test.support.shape[1])


def _history(run: Run) -> pd.DataFrame:
    """Return the losses per epoch of everything that was trained."""
    records = []
    for seed in run.config.seeds:
        for name in run.config.base_models:
            for window in WINDOWS:
                made = run.checkpoints.base_record(name, window, seed)
                stage = f"pretrain-{window}"
                records += [
                    {"seed": seed, "model": name, "stage": stage, **e} for e in made.history
                ]
        for variant in run.variants:
            learned = run.checkpoints.learned_record(variant, seed)
            records += [
                {"seed": seed, "model": variant, "stage": "meta-train", **e}
                for e in learned.history
            ]
    return pd.DataFrame(records)


def _rates(run: Run) -> pd.DataFrame:
    """Return inner learning rates and the other learned numbers per epoch.

    ``group`` is the base model or the selector of a rate, and the name of a number in words.
    """
    records = []
    for seed in run.config.seeds:
        for variant in run.variants:
            learned = run.checkpoints.learned_record(variant, seed)
            for row in learned.rates:
                name = row["parameter"]
                if row["epoch"] > learned.best_epoch:  # the weights of later epochs were discarded
                    break
                records.append({"seed": seed, "model": variant, "group": _group(name), **row})
    columns = ["seed", "model", "epoch", "parameter", "group", "mean", "low", "high"]
    return pd.DataFrame(records, columns=columns)


def _group(name: str) -> str:
    if is_number(name):  # support/half_life
        return name.replace("/", ": ").replace("_", " ")
    return "selector" if name.startswith(PHI) else name.split(".")[1]


def _write_csv(run: Run, name: str, table: pd.DataFrame) -> None:
    write_text(run.directory / f"{name}.csv", table.to_csv(index=False))

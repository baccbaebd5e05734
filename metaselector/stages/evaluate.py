"""Predict the test window with everything that was trained, and score it.

Nothing is trained here but the combiners: they are fitted on *valid* as the base models of *train*
predict it (those by user, where users are new, on their support), then combine the refitted ones
and see no label of *test*. All rows of the table have equal information: the base models behind
them are refitted on *train* and *valid*. The rows ``<model>-train`` show the single models without
that refit.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metaselector.config import TABLE_ROWS
from metaselector.data.episodes import EpisodeRows
from metaselector.data.protocol import WINDOWS, Exam, Window
from metaselector.evaluate import oracles
from metaselector.evaluate.combiners import (
    OPTIONAL,
    Combiner,
    PerUser,
    Predictions,
    usable_combiners,
)
from metaselector.evaluate.comparisons import compare
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.predictions import long_table, save_predictions
from metaselector.evaluate.results import best_model_counts, score, with_common_rows
from metaselector.evaluate.row_features import row_features
from metaselector.files import atomic_file, write_text
from metaselector.meta_trainer import PHI, make_adaptation
from metaselector.predict import predict_episodes
from metaselector.pretrain import predict
from metaselector.progress import Progress
from metaselector.run_directory import Run


class SeedEvaluation(NamedTuple):
    """What evaluation finds for one seed.

    Attributes:
        predictions: the long table.
        valid_predictions: the long table of the base models fitted on *train* alone, on *valid*.
        weights: ``seed, model, user, row, base_model, weight``.
        best_single: the single model with the lowest logloss on *valid*.
    """

    predictions: pd.DataFrame
    valid_predictions: pd.DataFrame
    weights: pd.DataFrame
    best_single: str


def evaluate(run: Run, progress: Progress) -> None:
    """Write predictions, weights, results, intervals and training records to the run directory."""
    for name in OPTIONAL.keys() - usable_combiners().keys():
        progress.note(
            f"{name} is left out: {OPTIONAL[name]} cannot be imported; "
            f"pip install 'metaselector[{OPTIONAL[name]}]' brings it"
        )
    tables = [_evaluate_exam(run, exam, progress) for exam in run.protocol.exams]
    if run.config.protocol == "cold":
        _write_csv(run, "support", pd.concat(tables, ignore_index=True))
    _write_csv(run, "history", _history(run))
    _write_csv(run, "rates", _rates(run))


def _evaluate_exam(run: Run, exam: Exam, progress: Progress) -> pd.DataFrame:
    """Write the files of one table; return it, for new users with metrics of the rows that all
    tables have."""
    with progress.task(f"evaluate {exam.name}", len(run.config.seeds)) as advance:
        parts = []
        for seed in run.config.seeds:
            parts.append(evaluate_seed(run, exam, seed))
            advance()
    predictions = pd.concat([part.predictions for part in parts], ignore_index=True)
    weights = pd.concat([part.weights for part in parts], ignore_index=True)
    best_single = dict(zip(run.config.seeds, (part.best_single for part in parts), strict=True))
    dataset = run.dataset.schema.dataset
    results = score(predictions, dataset=dataset, protocol=exam.name, best_single=best_single)
    directory = run.directory / exam.folder
    save_predictions(predictions, directory / "predictions.parquet")
    valid = pd.concat([part.valid_predictions for part in parts], ignore_index=True)
    save_predictions(valid, directory / "valid_predictions.parquet")
    with atomic_file(directory / "weights.parquet") as temporary:
        weights.to_parquet(temporary, compression="zstd", index=False)
    _write_csv(run, f"{exam.folder}/results", results)
    differences = compare(predictions, best_single, run.config.evaluate.resamples, progress)
    _write_csv(run, f"{exam.folder}/differences", differences)
    counts = best_model_counts(predictions, list(run.config.base_models))
    _write_csv(run, f"{exam.folder}/best_counts", counts)
    if run.config.protocol == "warm":
        return results
    last, _ = run.protocol.exams[-1].test.flat("query")  # those that every support size leaves
    found = with_common_rows(results, predictions, run.dataset.source_rows[last], best_single)
    return found.assign(support_size=exam.test.support.shape[1])


def evaluate_seed(run: Run, exam: Exam, seed: int) -> SeedEvaluation:
    """Predictions of all models of one seed, in the order of the table."""
    config, dataset = run.config, run.dataset
    names = list(config.base_models)
    fitting = _predictions(run, "train", seed, exam.valid, "query")
    unseen = _predictions(run, "full", seed, exam.test, "query")
    test, y, full = unseen.order, unseen.labels(), unseen.base
    train_only = _predictions(run, "train", seed, exam.test, "query").base
    losses = row_logloss(fitting.labels()[:, None], fitting.base)  # [n_valid, K]

    columns = {name: full[:, k] for k, name in enumerate(names)}
    columns |= {f"{name}-train": train_only[:, k] for k, name in enumerate(names)}
    for name, combiner in _fitted_combiners(run, exam, seed, fitting).items():
        columns[name] = combiner.predict(unseen.unlabelled())
    weights = []
    for variant in run.variants:
        learned = run.load_learned(variant, seed)
        mixture = learned.attach(run.load_mixture("full", seed))
        found = predict_episodes(
            mixture,
            learned.alpha,
            make_adaptation(variant, mixture, config.adapt),
            dataset,
            exam.test,
            config.adapt,
        )
        columns[variant] = found.probabilities
        if variant != "user-finetuned":  # whose weights are all alike
            weights.append(_weights_table(run, seed, variant, found.rows, found.weights))
    columns["oracle-sample"] = oracles.oracle_sample(y, full)[0]
    columns["oracle-user"] = oracles.oracle_user(y, full, unseen.users)[0]
    order = (*names, *(f"{name}-train" for name in names), *TABLE_ROWS)
    tables = [
        long_table(seed, model, dataset, test, columns[model])
        for model in order
        if model in columns
    ]
    valid_tables = [
        long_table(seed, name, dataset, fitting.order, fitting.base[:, k])
        for k, name in enumerate(names)
    ]
    return SeedEvaluation(
        pd.concat(tables, ignore_index=True),
        pd.concat(valid_tables, ignore_index=True),
        pd.concat(weights, ignore_index=True),
        names[int(losses.mean(axis=0).argmin())],
    )


def _fitted_combiners(run: Run, exam: Exam, seed: int, fitting: Predictions) -> dict[str, Combiner]:
    """The combiners by the row's name; `fitting` are the queries of *valid*."""
    combiners = {name: make() for name, make in usable_combiners().items()}
    if not exam.support_is_unseen:
        return {name: combiner.fit(fitting) for name, combiner in combiners.items()}
    support = _predictions(run, "train", seed, exam.valid, "support")
    own = _predictions(run, "full", seed, exam.test, "support")
    return {
        name: combiner.tune(support, fitting).fit(own)
        if isinstance(combiner, PerUser)
        else combiner.fit(fitting)
        for name, combiner in combiners.items()
    }


def _predictions(
    run: Run,
    window: Window,
    seed: int,
    episodes: EpisodeRows,
    part: Literal["support", "query"],
) -> Predictions:
    """What the base models of `window` predict for one part of the episodes, with its labels and
    features."""
    rows, limits = episodes.flat(part)
    logits = [
        predict(run.load_base(name, window, seed)[0], run.dataset, rows, limits)
        for name in run.config.base_models
    ]
    base = torch.sigmoid(torch.stack(logits, dim=-1).double()).numpy()
    features, categorical = row_features(run.dataset, rows, limits)
    return Predictions(
        base,
        run.dataset.users[rows],
        order=rows,
        y=run.dataset.labels[rows].astype(np.float64),
        features=features,
        categorical=categorical,
    )


def _weights_table(
    run: Run, seed: int, model: str, rows: NDArray[np.int64], weights: NDArray[np.float32]
) -> pd.DataFrame:
    dataset, names = run.dataset, list(run.config.base_models)
    user_names = np.asarray(dataset.user_names, dtype=object)
    return pd.DataFrame(
        {
            "seed": seed,
            "model": model,
            "user": np.repeat(user_names[dataset.users[rows]], len(names)),
            "row": np.repeat(dataset.source_rows[rows], len(names)),
            "base_model": np.tile(np.asarray(names, dtype=object), len(rows)),
            "weight": weights.reshape(-1),  # [n, K] to [n * K]
        }
    )


def _history(run: Run) -> pd.DataFrame:
    """Losses by epoch of everything that was trained."""
    records = []
    for seed in run.config.seeds:
        for name in run.config.base_models:
            for window in WINDOWS:
                made = run.load_base(name, window, seed)[1]
                stage = f"pretrain-{window}"
                records += [
                    {"seed": seed, "model": name, "stage": stage, **e} for e in made.history
                ]
        for variant in run.variants:
            learned = run.load_learned(variant, seed)
            records += [
                {"seed": seed, "model": variant, "stage": "meta-train", **e}
                for e in learned.history
            ]
    return pd.DataFrame(records)


def _rates(run: Run) -> pd.DataFrame:
    """Inner learning rates by epoch; ``group`` is the base model, or the selector."""
    records = []
    for seed in run.config.seeds:
        for variant in run.variants:
            learned = run.load_learned(variant, seed)
            for row in learned.rates:
                name = row["parameter"]
                if row["epoch"] > learned.best_epoch:  # later ones were not kept
                    break
                group = "selector" if name.startswith(PHI) else name.split(".")[1]
                records.append({"seed": seed, "model": variant, "group": group, **row})
    columns = ["seed", "model", "epoch", "parameter", "group", "mean", "low", "high"]
    return pd.DataFrame(records, columns=columns)


def _write_csv(run: Run, name: str, table: pd.DataFrame) -> None:
    write_text(run.directory / f"{name}.csv", table.to_csv(index=False))

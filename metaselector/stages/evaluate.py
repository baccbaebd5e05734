"""Predict the test window with everything that was trained, and score it.

Nothing is trained here but the combiners: they are fitted on *valid* as the base models of *train*
predict it, then combine the refitted ones and see no label of *test*. All rows of the table have
equal information: the base models behind them are refitted on *train* and *valid*. The rows
``<model>-train`` show the single models without that refit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metaselector.config import TABLE_ROWS
from metaselector.data.split import window_rows
from metaselector.evaluate import oracles
from metaselector.evaluate.bootstrap import bootstrap_difference
from metaselector.evaluate.combiners import OPTIONAL, Predictions, usable_combiners
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.predictions import long_table, save_predictions
from metaselector.evaluate.results import best_model_counts, score
from metaselector.files import atomic_file, write_text
from metaselector.meta_trainer import PHI, make_adaptation
from metaselector.predict import predict_window
from metaselector.pretrain import predict
from metaselector.progress import Progress
from metaselector.run_directory import VARIANTS, WINDOWS, Run, Window

PROTOCOL = "warm-chronological"
METRICS = ("auc", "logloss")
JOINT = "metaselector"


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
    with progress.task("evaluate", len(run.config.seeds)) as advance:
        parts = []
        for seed in run.config.seeds:
            parts.append(evaluate_seed(run, seed))
            advance()
    predictions = pd.concat([part.predictions for part in parts], ignore_index=True)
    weights = pd.concat([part.weights for part in parts], ignore_index=True)
    best_single = dict(zip(run.config.seeds, (part.best_single for part in parts), strict=True))
    results = score(
        predictions, dataset=run.dataset.schema.dataset, protocol=PROTOCOL, best_single=best_single
    )
    directory = run.directory
    save_predictions(predictions, directory / "predictions.parquet")
    valid = pd.concat([part.valid_predictions for part in parts], ignore_index=True)
    save_predictions(valid, directory / "valid_predictions.parquet")
    with atomic_file(directory / "weights.parquet") as temporary:
        weights.to_parquet(temporary, compression="zstd", index=False)
    _write_csv(run, "results", results)
    _write_csv(run, "differences", _differences(run, predictions, best_single, progress))
    _write_csv(run, "best_counts", best_model_counts(predictions, list(run.config.base_models)))
    _write_csv(run, "history", _history(run))
    _write_csv(run, "rates", _rates(run))


def evaluate_seed(run: Run, seed: int) -> SeedEvaluation:
    """Predictions of all models of one seed, in the order of the table."""
    config, dataset = run.config, run.dataset
    split, names = config.split, list(config.base_models)
    valid = window_rows(dataset.user_offsets, split.train, split.valid)
    test = window_rows(dataset.user_offsets, split.valid, 100)
    users = dataset.users
    y = dataset.labels[test]
    on_valid = _base_probabilities(run, "train", seed, valid)
    full = _base_probabilities(run, "full", seed, test)
    train_only = _base_probabilities(run, "train", seed, test)
    losses = row_logloss(dataset.labels[valid][:, None], on_valid)  # [n_valid, K]

    columns = {name: full[:, k] for k, name in enumerate(names)}
    columns |= {f"{name}-train": train_only[:, k] for k, name in enumerate(names)}
    fitting = Predictions(
        on_valid, users[valid], order=valid, y=dataset.labels[valid].astype(np.float64)
    )
    unseen = Predictions(full, users[test], order=test)
    for name, make in usable_combiners().items():
        columns[name] = make().fit(fitting).predict(unseen)
    weights = []
    for variant in VARIANTS:
        learned = run.load_learned(variant, seed)
        mixture = learned.attach(run.load_mixture("full", seed))
        found = predict_window(
            mixture,
            learned.alpha,
            make_adaptation(variant, mixture, config.adapt),
            dataset,
            (split.valid, 100),
            config.adapt,
        )
        columns[variant] = found.probabilities
        weights.append(_weights_table(run, seed, variant, found.rows, found.weights))
    columns["oracle-sample"] = oracles.oracle_sample(y, full)[0]
    columns["oracle-user"] = oracles.oracle_user(y, full, users[test])[0]
    order = (*names, *(f"{name}-train" for name in names), *TABLE_ROWS)
    tables = [
        long_table(seed, model, dataset, test, columns[model])
        for model in order
        if model in columns
    ]
    valid_tables = [
        long_table(seed, name, dataset, valid, on_valid[:, k]) for k, name in enumerate(names)
    ]
    return SeedEvaluation(
        pd.concat(tables, ignore_index=True),
        pd.concat(valid_tables, ignore_index=True),
        pd.concat(weights, ignore_index=True),
        names[int(losses.mean(axis=0).argmin())],
    )


def _base_probabilities(
    run: Run, window: Window, seed: int, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probabilities ``[len(rows), K]`` of the base models trained on `window`."""
    logits = [
        predict(run.load_base(name, window, seed)[0], run.dataset, rows)
        for name in run.config.base_models
    ]
    return torch.sigmoid(torch.stack(logits, dim=-1).double()).numpy()


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


def _differences(
    run: Run, predictions: pd.DataFrame, best_single: dict[int, str], progress: Progress
) -> pd.DataFrame:
    """Every model against the best single one, and MetaSelector against every other one."""
    models = [m for m in predictions["model"].unique() if not m.startswith("oracle-")]
    pairs = {
        seed: [(model, best) for model in models if model != best]
        + [(JOINT, model) for model in models if model not in (JOINT, best)]
        for seed, best in best_single.items()
    }
    records = []
    with progress.task("bootstrap over users", sum(map(len, pairs.values()))) as advance:
        for seed, compared in pairs.items():
            table = predictions[predictions["seed"] == seed]
            for model, baseline in compared:
                for metric in METRICS:
                    found = bootstrap_difference(
                        table,
                        model,
                        baseline,
                        metric,
                        run.config.evaluate.resamples,
                        np.random.default_rng(seed),
                    )
                    records.append((seed, model, baseline, metric, *found))
                advance()
    columns = ["seed", "model", "baseline", "metric", "difference", "low", "high"]
    return pd.DataFrame(records, columns=columns)


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
        for variant in VARIANTS:
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
        for variant in VARIANTS:
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

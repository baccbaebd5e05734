"""Compute the results table from predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.common.errors import UserError
from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.alignment import Aligned, Predictions, PredictionTable, by_seed
from metaselector.evaluate.bounds import HEADROOM, selection_bounds
from metaselector.evaluate.checks import checked_value
from metaselector.evaluate.lists import COLUMNS as OF_LISTS
from metaselector.evaluate.lists import COUNT, list_rankings
from metaselector.evaluate.lists import METRICS as WITHIN_LISTS
from metaselector.evaluate.losses import user_codes
from metaselector.evaluate.metrics import Metric, auc, gap_closed, logloss, rela_impr
from metaselector.evaluate.oracles import oracle_user
from metaselector.evaluate.ranking import METRICS as RANKINGS
from metaselector.evaluate.ranking import user_rankings

COLUMNS = (
    "dataset",
    "protocol",
    "seed",
    "model",
    "auc",
    "logloss",
    "rela_impr",
    "gauc",
    "ndcg_10",
    "mrr",
    "gap_closed_auc",
    "gap_closed_logloss",
    "gap_closed_headroom",
    "n_users",
    "n_test",
    "gauc_users",
)
ADDED = ("ndcg_10", "mrr", "gap_closed_headroom")
"""Columns that results of earlier versions lack."""

REQUIRED = tuple(name for name in COLUMNS if name not in ADDED)
ORACLE = "oracle-user"


def score(
    predictions: Predictions,
    *,
    dataset: str,
    protocol: str,
    best_single: Mapping[int, str],
    base_models: Sequence[str] = (),
    metrics: Mapping[str, Metric] = {},
) -> pd.DataFrame:
    """Compute all metrics of all models.

    Args:
        predictions: the long table, any number of seeds, one task.
        dataset: name for the column ``dataset``.
        protocol: name for the column ``protocol``.
        best_single: by seed, the best single model on *valid*, the baseline of RelaImpr and gap
            closed.
        base_models: what was selected from. With them, each seed has rows ``headroom`` and
            ``chance``, which have a logloss only (:mod:`metaselector.evaluate.bounds`), unless
            there are too few users or rows to measure them.
        metrics: additional metrics, by column name.

    Returns:
        One row per (seed, model) in order of first appearance, with the columns :data:`COLUMNS` and
        those of `metrics`, and between them, if the table has lists, the metrics within lists
        :data:`metaselector.evaluate.lists.COLUMNS`. ``rela_impr`` is in percent; gaps are
        fractions, nan if the seed has no ``oracle-user``, or for ``gap_closed_headroom`` no
        headroom; ``gauc_users`` is the number of users in GAUC, NDCG@10 and MRR.

    Raises:
        UserError: models of a seed predict different rows or labels, a seed has no best single
            model or no predictions of it, or a metric of `metrics` fails or does not return a
            finite number.

    Example:
        >>> table = pd.DataFrame({"user": ["ann", "bob"] * 2, "row": [0, 1] * 2, "y": [1, 0] * 2})
        >>> table = table.assign(seed=0, task="label", model=["lr", "lr", "fm", "fm"])
        >>> table = table.assign(p=[0.6, 0.4, 0.9, 0.2])
        >>> scored = score(table, dataset="mine", protocol="warm", best_single={0: "lr"})
        >>> scored[["model", "auc", "logloss"]].round(3)
          model  auc  logloss
        0    lr  1.0    0.511
        1    fm  1.0    0.164
    """
    tables = [
        _score_seed(seed, aligned, best_single, base_models, metrics)
        for seed, aligned in by_seed(predictions)
    ]
    if not tables:
        raise UserError("the table of predictions is empty")
    table = pd.concat(tables, ignore_index=True)
    within = [name for name in OF_LISTS if name in table]
    return table.assign(dataset=dataset, protocol=protocol)[[*COLUMNS, *within, *metrics]]


def with_common_rows(
    results: pd.DataFrame,
    predictions: Predictions,
    rows: NDArray[np.int64],
    best_single: Mapping[int, str],
    base_models: Sequence[str] = (),
) -> pd.DataFrame:
    """Add metrics on the given rows only, so that tables of different rows can be compared.

    Args:
        results: output of :func:`score` for `predictions`.
        rows: int64 ``[n]``, positions in the source, as in the column ``row``.
        best_single, base_models: as in :func:`score`.

    Returns:
        `results` with the columns ``common_auc``, ``common_logloss``, ``common_users`` and
        ``common_test``. A bound that cannot be measured on these rows is left out.
    """
    chosen = (
        predictions.of_rows(rows)
        if isinstance(predictions, PredictionTable)
        else predictions[predictions["row"].isin(rows)]
    )
    common = score(
        chosen, dataset="", protocol="", best_single=best_single, base_models=base_models
    )
    wanted = {"auc": "auc", "logloss": "logloss", "n_users": "users", "n_test": "test"}
    common = common[["seed", "model", *wanted]].rename(
        columns={name: f"common_{new}" for name, new in wanted.items()}
    )
    return results.merge(common, on=["seed", "model"], validate="one_to_one")


def _score_seed(
    seed: int,
    aligned: Aligned,
    best_single: Mapping[int, str],
    base_models: Sequence[str],
    metrics: Mapping[str, Metric],
) -> pd.DataFrame:
    if seed not in best_single:
        raise UserError(f"seed {seed}: no best single model is given")
    base_auc, base_loss = _auc_and_logloss(aligned, best_single[seed])
    oracle_auc, oracle_loss = (
        _auc_and_logloss(aligned, ORACLE) if ORACLE in aligned.p else (math.nan, math.nan)
    )
    codes, names = user_codes(aligned.users)
    bounds = selection_bounds(aligned, base_models, seed) if base_models else {}
    lowest = bounds.get(HEADROOM, math.nan)

    def gaps(loss: float) -> dict[str, float]:
        return {
            "logloss": loss,
            "gap_closed_logloss": gap_closed(loss, base_loss, oracle_loss),
            "gap_closed_headroom": gap_closed(loss, base_loss, lowest)
            if lowest < base_loss
            else math.nan,
        }

    records = []
    for model, p in aligned.p.items():
        model_auc, model_loss = _auc_and_logloss(aligned, model)
        ranked = user_rankings(aligned.y, p, codes, len(names))
        _, gauc_users = ranked.mean("gauc")
        records.append(
            {
                "model": model,
                "auc": model_auc,
                "rela_impr": rela_impr(model_auc, base_auc),
                "gap_closed_auc": gap_closed(model_auc, base_auc, oracle_auc),
                **gaps(model_loss),
                **{metric: ranked.mean(metric)[0] for metric in RANKINGS},
                **_within_lists(aligned, p, codes, len(names)),
                **{
                    name: _of_plugin(name, metric, aligned, model)
                    for name, metric in metrics.items()
                },
            }
        )
    records += [{"model": name, **gaps(loss)} for name, loss in bounds.items()]
    made = pd.DataFrame(records)
    if COUNT in made:  # lists with both classes, the same for every model
        made[COUNT] = int(made[COUNT].max())
    return made.assign(seed=seed, n_users=len(names), n_test=aligned.y.size, gauc_users=gauc_users)


def _within_lists(aligned: Aligned, p: Floats, codes: Ints, n_users: int) -> dict[str, float]:
    if aligned.lists is None:
        return {}
    found = list_rankings(aligned.y, p, codes, n_users, aligned.lists)
    means = {metric: found.mean(metric) for metric in WITHIN_LISTS}
    return {**means, COUNT: int(found.counts.sum())}


def _of_plugin(name: str, metric: Metric, aligned: Aligned, model: str) -> float:
    try:
        value = metric(aligned.y.copy(), aligned.p[model].copy(), aligned.users.copy())
    except Exception as error:  # plug-ins may raise anything
        problem = " ".join(str(error).split())[:200]
        raise UserError(
            f"metric '{name}' fails for model '{model}' ({type(error).__name__}: {problem}); it is "
            "called with labels, probabilities and users, (y, p, users)"
        ) from error
    return checked_value(name, value, f"model '{model}'")


def _auc_and_logloss(aligned: Aligned, model: str) -> tuple[float, float]:
    p = aligned.of(model)
    return auc(aligned.y, p), logloss(aligned.y, p)


def best_model_counts(predictions: Predictions, base_models: Sequence[str]) -> pd.DataFrame:
    """Count the users for whom each base model has the lowest logloss on their test rows.

    Args:
        predictions: the long table, any number of seeds, one task.
        base_models: the models to compare; the first among equals wins.

    Returns:
        One row per seed and base model in the order given, with the columns ``seed``, ``model``,
        ``users`` and ``share``, a fraction of the seed's users.

    Raises:
        UserError: as :func:`score`, or a base model has no predictions.

    Example:
        >>> table = pd.DataFrame({"user": ["ann", "bob"] * 2, "row": [0, 1] * 2, "y": [1, 0] * 2})
        >>> table = table.assign(seed=0, task="label", model=["lr", "lr", "fm", "fm"])
        >>> table = table.assign(p=[0.6, 0.1, 0.9, 0.2])
        >>> best_model_counts(table, ["lr", "fm"])
           seed model  users  share
        0     0    lr      1    0.5
        1     0    fm      1    0.5
    """
    records = []
    for seed, aligned in by_seed(predictions):
        base = np.stack([aligned.of(model) for model in base_models], axis=1)  # [N, K]
        _, choice = oracle_user(aligned.y, base, aligned.users)
        _, first_rows = np.unique(user_codes(aligned.users)[0], return_index=True)
        counts = np.bincount(choice[first_rows], minlength=len(base_models))
        for model, users in zip(base_models, counts.tolist(), strict=True):
            records.append((seed, model, users, users / len(first_rows)))
    return pd.DataFrame(records, columns=["seed", "model", "users", "share"])

"""Training time against validation loss, and learned inner rates, from training records."""

from __future__ import annotations

import pandas as pd


def cost_curves(history: pd.DataFrame) -> pd.DataFrame:
    """Loss on *valid* against wall-clock seconds of meta-training.

    All variants of MetaSelector start from the same sample-level selector and base models, whose
    training time is not included.

    Args:
        history: ``history.csv``; lines without seconds are left out.

    Returns:
        ``seed, model, epoch, seconds, valid_loss, best_so_far``; epoch 0 is the first validation.
    """
    meta = (history["stage"] == "meta-train") & history["model"].str.startswith("metaselector")
    columns = ["seed", "model", "epoch", "seconds", "valid_loss"]
    curves = history[meta].reindex(columns=columns).dropna().reset_index(drop=True)
    best = curves.groupby(["seed", "model"], sort=False)["valid_loss"].cummin()
    return curves.assign(best_so_far=best)


def equal_cost(curves: pd.DataFrame) -> pd.DataFrame:
    """Best loss on *valid* of each variant within the time of the fastest one of the seed.

    Args:
        curves: of :func:`cost_curves`.

    Returns:
        ``seed, model, budget, loss_in_budget, best_loss, seconds_to_best, seconds``. The budget is
        the time at which the seed's first variant stopped, `seconds` the variant's own total. The
        loss is nan if the first validation took longer than the budget.
    """
    records = []
    for seed, of_seed in curves.groupby("seed", sort=False):
        budget = of_seed.groupby("model")["seconds"].max().min()
        for model, curve in of_seed.groupby("model", sort=False):
            best = curve.nsmallest(1, "valid_loss").iloc[0]
            within = curve.loc[curve["seconds"] <= budget, "valid_loss"].min()
            total = curve["seconds"].max()
            records.append(
                (seed, model, budget, within, best["valid_loss"], best["seconds"], total)
            )
    columns = ["seed", "model", "budget", "loss_in_budget", "best_loss", "seconds_to_best"]
    return pd.DataFrame(records, columns=[*columns, "seconds"])


def kept_rates(rates: pd.DataFrame) -> pd.DataFrame:
    """Inner learning rates at the best epoch, by base model and for the selector.

    Args:
        rates: ``rates.csv``, which ends with that epoch.

    Returns:
        ``seed, model, group, epoch, parameters, mean, low, high``, over a group's tensors, with
        equal weights in the mean.
    """
    last = rates.groupby(["seed", "model"])["epoch"].transform("max")
    groups = rates[rates["epoch"] == last].groupby(["seed", "model", "group", "epoch"], sort=False)
    summary = groups.agg(
        parameters=("parameter", "size"),
        mean=("mean", "mean"),
        low=("low", "min"),
        high=("high", "max"),
    )
    return summary.reset_index()

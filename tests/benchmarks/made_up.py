"""Made-up tables of the suite, small and with known answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from metaselector.evaluate.results import COLUMNS as RESULT_COLUMNS

DIFFERENCES = (
    *("family", "model", "baseline", "metric", "difference", "low", "high"),
    *("p", "p_holm", "n_seeds"),
)
METRICS = ("auc", "logloss", "gauc", "ndcg_10", "mrr")
LOSSES = {
    "lr": 0.60,
    "fm": 0.58,
    "uniform": 0.57,
    "user-finetuned-plain": 0.56,
    "user-finetuned": 0.55,
    "user-finetuned-residuals": 0.54,
    "metaselector-untrained": 0.51,
    "metaselector": 0.52,
    "oracle-user": 0.40,
}
"""By model; only a sibling is better than MetaSelector."""


def write_table(
    folder: Path,
    losses: Mapping[str, float] = LOSSES,
    *,
    split: str = "warm-chronological",
    dataset: str = "movielens-100k",
    p: Mapping[str, float] = {},
    seeds: int = 2,
) -> None:
    """Write the CSV files of one table: logloss as given, 1 - logloss in every other metric.

    Args:
        folder: where to.
        losses: mean logloss by model; seed s has 0.001 * (s - 1 / 2) more.
        split: the column ``protocol``.
        dataset: the column ``dataset``.
        p: p-values of MetaSelector against models, in all metrics; by default 0.01.
        seeds: how many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for seed in range(seeds):
        for model, loss in losses.items():
            value = loss + 0.001 * (seed - 0.5)
            line = dict.fromkeys(RESULT_COLUMNS, 0.0) | dict.fromkeys(METRICS, 1 - value)
            line |= {"dataset": dataset, "protocol": split, "seed": seed, "model": model}
            lines.append(line | {"logloss": value, "n_users": 9, "n_test": 9, "gauc_users": 9})
    results = pd.DataFrame(lines)
    bound = results[results["model"] == "oracle-user"].assign(model="headroom", logloss=0.5)
    others = [metric for metric in METRICS if metric != "logloss"]
    results = pd.concat([results, bound.assign(**dict.fromkeys(others, np.nan))])
    results.to_csv(folder / "results.csv", index=False)
    found = []
    for model, loss in losses.items():
        if model == "metaselector" or model.startswith("oracle-"):
            continue
        for metric in METRICS:
            gap = losses["metaselector"] - loss
            gap = gap if metric == "logloss" else -gap
            ends = gap - 0.001, gap + 0.001
            value = p.get(model, 0.01)
            found.append(("metaselector", "metaselector", model, metric, gap, *ends, value, value,
                          seeds))  # fmt: skip
            found.append(("best-single", model, "fm", metric, 9.0, 9.0, 9.0, 0.5, 0.5, seeds))
    differences = pd.DataFrame(found, columns=list(DIFFERENCES))
    differences.to_csv(folder / "differences.csv", index=False)


def write_environment(folder: Path, **more: object) -> None:
    """Write ``environment.json`` of an entry."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "environment.json").write_text(json.dumps({"command": "made up", **more}))


def write_entry(folder: Path, losses: Mapping[str, float] = LOSSES, **options: object) -> None:
    """Write an entry with a single table."""
    write_table(folder, losses, **options)  # type: ignore[arg-type]
    write_environment(folder)

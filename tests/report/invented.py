"""Runs with invented results: what tables, verdicts and pages are made from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from metaselector.evaluate.comparisons import BEST_SINGLE, REQUIRED, TARGET
from metaselector.evaluate.headroom_table import COLUMNS as HEADROOM
from metaselector.evaluate.results import COLUMNS as RESULT_COLUMNS

LOSSES = {
    "lr": 0.60,
    "fm": 0.58,
    "lr-train": 0.61,
    "uniform": 0.57,
    "user-finetuned": 0.55,
    "user-finetuned-residuals": 0.545,
    "metaselector-untrained": 0.546,
    "metaselector": 0.54,
    "oracle-user": 0.5,
}
P = {"user-finetuned-residuals": 0.4, "metaselector-untrained": 0.2}
"""p-values that are not significant."""


def results(losses: Mapping[str, float] = LOSSES, best: str = "fm") -> pd.DataFrame:
    """``results.csv`` of one seed; `best` is the best single model."""
    rows = []
    for model, loss in losses.items():
        gain = losses.get(best, 0.58) - loss
        values = (1.2 - loss, loss, gain * 100, 1.1 - loss, 0.8, 0.7, gain, gain, gain)
        rows.append(("tiny", "warm-chronological", 0, model, *values, 12, 1234, 9))
    return pd.DataFrame(rows, columns=list(RESULT_COLUMNS))


def differences(
    losses: Mapping[str, float] = LOSSES, p: Mapping[str, float] = P, best: str = "fm"
) -> pd.DataFrame:
    """``differences.csv``: joint minus each row, in three metrics; GAUC is never significant."""
    rows = []
    for metric, sign in (("logloss", 1.0), ("auc", -1.0), ("gauc", -1.0)):
        for row, loss in losses.items():
            if row == "metaselector" or row.startswith("oracle"):
                continue
            gain = sign * (losses["metaselector"] - loss)
            own_p = 0.5 if metric == "gauc" else p.get(row, 0.01)
            line = (metric, gain, gain - 0.002, gain + 0.002, own_p / 2, own_p, 1)
            rows.append((TARGET, "metaselector", row, *line))
            if row == best:
                rows.append((BEST_SINGLE, "metaselector", best, *line))
    return pd.DataFrame(rows, columns=list(REQUIRED))


def headroom(seeds: Sequence[int], windows: Sequence[str] = ("test", "valid")) -> pd.DataFrame:
    """``headroom.csv``: 0.01 times log2(1 + n) after n rows, 0.05 with perfect knowledge.

    Each seed adds a thousandth of itself, and *valid* a tenth; half of the users have 5 rows.
    """
    gains = {("perfect-knowledge", None): 0.05, ("chance", None): 0.06, ("oracle", None): 0.07}
    gains |= {("evidence", n): 0.01 * math.log2(1 + n) for n in (1, 5, 20)}
    every: list[float | None] = [*seeds]
    means = [] if len(seeds) == 1 else [None]
    rows = []
    for window in windows:
        for seed in means + every:
            more = 0.001 * (seed if seed is not None else sum(seeds) / len(seeds))
            more += 0.1 * (window == "valid")
            for (figure, n), gain in gains.items():
                found = gain + more
                line = (window, seed, figure, "lr+fm+x", n, found, found - 0.01, found + 0.01)
                rows.append(line)
            rows.append((window, seed, "perfect-knowledge", "lr+fm", None, 0.02, 0.01, 0.03))
            rows.append((window, seed, "best-single", "lr+fm+x", None, 0.58, 0.5, 0.6))
        if window == "test":
            for percent, size in zip((10, 25, 50, 75, 90), (0, 2, 5, 9, 30), strict=True):
                name = f"support-size-{percent}%"
                rows.append((window, None, name, "lr+fm+x", None, size, math.nan, math.nan))
    return pd.DataFrame(rows, columns=list(HEADROOM)).astype({"n": "Int64", "seed": "Int64"})


def write_run(folder: Path, losses: Mapping[str, float] = LOSSES) -> Path:
    """A run of which only tables were kept."""
    folder.mkdir(parents=True, exist_ok=True)
    results(losses).to_csv(folder / "results.csv", index=False)
    differences(losses).to_csv(folder / "differences.csv", index=False)
    (folder / "environment.json").write_text(json.dumps({"command": "metaselector reproduce"}))
    (folder / "config.yaml").write_text("evaluate: {resamples: 10000}\n")
    return folder

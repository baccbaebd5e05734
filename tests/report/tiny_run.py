"""A run of made-up results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from metaselector.evaluate.comparisons import BEST_SINGLE, COLUMNS, TARGET
from metaselector.evaluate.results import COLUMNS as RESULT_COLUMNS

_MODELS = {  # AUC, logloss
    "oracle-user": (0.80, 0.50),
    "metaselector": (0.77, 0.53),
    "my_model": (0.75, 0.55),
    "other": (0.74, 0.56),
    "uniform": (0.76, 0.54),
}


def made_results(seeds: list[int]) -> pd.DataFrame:
    """``results.csv`` of five models."""
    rows = [
        (
            "tiny", "warm", seed, model, area + 0.001 * seed, loss - 0.001 * seed,
            ((area + 0.001 * seed - 0.5) / (0.25 + 0.001 * seed) - 1) * 100 * (model != "my_model"),
            np.nan, area / 2, area + 0.1, (area - 0.75) / 0.05, (0.55 - loss) / 0.05,
            (0.55 - loss) / 0.02, 12, 1234, 0,
        )
        for seed in seeds
        for model, (area, loss) in _MODELS.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(RESULT_COLUMNS))


def made_differences() -> pd.DataFrame:
    """``differences.csv``; one p-value is at its floor."""
    rows = [
        (BEST_SINGLE, "metaselector", "my_model", "logloss", -0.02, -0.03, 0.1, 0.04, 0.2, 2e-4, 1),
        (BEST_SINGLE, "metaselector", "my_model", "auc", 5.0, 5.0, 5.0, 0.5, 0.5, 2e-4, 1),
        (TARGET, "metaselector", "my_model", "logloss", -0.02, -0.03, 0.1, 0.04, 0.08, 4e-4, 1),
        (TARGET, "metaselector", "other", "logloss", -0.03, -0.04, -0.02, 3e-4, 6e-4, 4e-4, 1),
        (TARGET, "metaselector", "other", "auc", 7.0, 7.0, 7.0, 0.5, 0.5, 2e-4, 1),
        (TARGET, "metaselector", "other", "gauc", 0.03, 0.02, 0.04, 0.002, 0.0041, 0.0041, 1),
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def write_run(run_dir: Path, seeds: list[int], differences: bool = True) -> Path:
    """Write the files of a run with these results."""
    made_results(seeds).to_csv(run_dir / "results.csv", index=False)
    if differences:
        made_differences().to_csv(run_dir / "differences.csv", index=False)
    command = {"command": "metaselector reproduce\n --x_y 50%"}
    (run_dir / "environment.json").write_text(json.dumps(command), encoding="utf-8")
    return run_dir

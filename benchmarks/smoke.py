"""Reference figures of the short run on MovieLens-100K, which a test compares with.

    python -m benchmarks.smoke

After a change that is meant to change them, run this again and note it in the changelog.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import torch

from benchmarks import measure, movielens
from benchmarks.command import DataOption, JsonOption, new_app
from benchmarks.command import run as run_app
from metaselector.common.progress import Bars
from metaselector.config import load_config
from metaselector.runs.run import Run
from metaselector.runs.stages.reproduce import reproduce

RESULT = Path("benchmarks/results/smoke.json")
CONFIG = Path(__file__).parent / "configs" / "smoke.yaml"
CHANGES = ("evaluate.resamples=2", "threads=1")
METRICS = ("auc", "logloss")
DISCRETE = (
    "user-best",
    "stacking-lightgbm",
    "stacking-lightgbm-features",
)
TOLERANCE = {"default": 2e-4, **dict.fromkeys(DISCRETE, 2e-3)}
REASON = (
    "Rounding depends on the processor: the same run limited to SSE4.2 and to AVX2, and with "
    "2 threads, differed from AVX-512 with one thread by up to 3.4e-5, and where a model of a"
    " user or a split of a tree is chosen (user-best, stacking-lightgbm) by up to 4.9e-4. "
    "Tolerances are four times that or more."
)

app = new_app()


@app.command()
def main(json: JsonOption = RESULT, data: DataOption = None) -> None:
    """Write new reference figures of the short run."""
    settings = load_config(CONFIG, CHANGES)
    torch.set_num_threads(settings.threads)
    with tempfile.TemporaryDirectory() as directory:
        run = Run(Path(directory), settings)
        reproduce(run, movielens.files(data), Path("data"), Bars())
        results = pd.read_csv(run.directory / "results.csv").set_index("model")[list(METRICS)]
        results = results.dropna()  # bounds have no AUC
        digest = run.dataset.digest()
    rows = {str(model): dict(row.round(6)) for model, row in results.iterrows()}
    figures = {"tolerance": TOLERANCE, "reason": REASON, "rows": rows, "data_sha256": digest}
    where = {
        "machine": measure.machine(),
        "versions": measure.versions("numpy", "scikit-learn", "scipy", "lightgbm"),
    }
    measure.save(json, {**figures, **where})


if __name__ == "__main__":
    run_app(app)

"""The benchmark of the support curve on a tiny run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from benchmarks import support_curve
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.data.interactions import Origin
from metaselector.data.preparation.origin import save_origin
from metaselector.evaluate.support_curve import COLUMNS, MODELS
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

SETTINGS = """
threads: 1
base_models: {lr: {pretrain: {epochs: 1}}, fm: {pretrain: {epochs: 1}}}
adapt: {support_size: 2}
meta_train: {epochs: 1}
evaluate: {resamples: 20}
"""


def test_writes_metrics_differences_table_and_figure(
    write_world: Callable[[Path], Path], tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(SETTINGS)
    run = Run(tmp_path / "run", load_config(tmp_path / "tiny.yaml"))
    prepare_run(run, write_world(tmp_path / "raw"), tmp_path)
    save_origin(
        Origin("MovieLens (a copy)", "Its times cannot be trusted.", true_times=False),
        run.data_directory,
    )
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    save_config(run)
    output = tmp_path / "results"
    support_curve.main(run=run.directory, output=output)
    torch.set_num_threads(1)
    name = "movielens-100k-warm"
    curve = pd.read_csv(output / f"{name}.csv")
    assert tuple(curve.columns) == COLUMNS
    assert set(curve["model"]) == set(MODELS)
    assert sorted(curve["n"].unique()) == [0, 1, 2]
    differences = pd.read_csv(output / f"{name}-differences.csv")
    assert set(differences["baseline"]) == {"not-adapted", "user-finetuned"}
    table = (output / f"{name}.md").read_text(encoding="utf-8")
    assert "## MovieLens (a copy), known users: metrics by number of support rows" in table
    assert "Its times cannot be trusted." in table
    assert "Adapting " in table
    assert (output / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    described = json.loads((output / f"{name}-environment.json").read_text(encoding="utf-8"))
    assert described["data_title"] == "MovieLens (a copy)"

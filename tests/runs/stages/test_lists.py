"""A run on impression logs, from the raw file to the tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import CheckpointError
from metaselector.common.progress import Silent
from metaselector.config import change_config, load_config
from metaselector.evaluate.lists import COLUMNS, METRICS
from metaselector.evaluate.predictions import load_predictions
from metaselector.report.tables import write_tables
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare
from metaselector.runs.stages.reproduce import reproduce

from ...data.own.shown import write_shown
from ...data.test_lists_encoded import UNKNOWN, lines

SETTINGS = {
    "threads": 1,
    "data": {"min_user_lists": 4},
    "split": {"early": 40, "train": 60, "valid": 80},
    "base_models": {"lr": {"pretrain": {"epochs": 1}}, "fm": {"pretrain": {"epochs": 1}}},
    "adapt": {"support_size": 9, "support_sizes": [3], "steps": 1},
    "meta_train": {"epochs": 1, "query_size": 4},
    "paper": {"epochs": 1},
    "selector": {"epochs": 1},
    "evaluate": {"resamples": 5},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("lists")
    schema = write_shown(folder, tuple(lines(users=8)), UNKNOWN)
    config = load_config(changes={**SETTINGS, "dataset": str(schema)})
    made = Run(folder / "run", config)
    reproduce(made, folder / "shown.csv", folder, Silent())
    return made


def test_results_have_metrics_within_lists(run: Run) -> None:
    results = pd.read_csv(run.directory / "results.csv")
    assert set(COLUMNS) <= set(results)
    assert set(results["n_lists"]) == {8}  # the last list of each user
    scored = results[results["model"] == "metaselector"].iloc[0]
    assert 0 <= scored["list_auc"] <= 1
    differences = pd.read_csv(run.directory / "differences.csv")
    assert set(METRICS) <= set(differences["metric"])


def test_predictions_rank_whole_lists(run: Run) -> None:
    predictions = load_predictions(run.directory / "predictions.parquet")
    offsets = run.dataset.list_offsets
    assert offsets is not None
    for _, of_model in predictions.groupby("model"):
        lists, sizes = np.unique(of_model["list"], return_counts=True)
        assert sizes.tolist() == np.diff(offsets)[lists].tolist()


def test_the_summary_has_a_third_table(run: Run) -> None:
    write_tables(run.directory)
    text = (run.directory / "summary.md").read_text(encoding="utf-8")
    assert "## Ranking within lists" in text
    assert "Means over the 8 lists with both classes" in text
    assert "list NDCG@10" in text


def test_preparation_says_what_does_not_fit_into_a_support(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = write_shown(tmp_path, tuple(lines(users=8)))
    given = {**SETTINGS, "dataset": str(schema)}
    config = load_config(changes=given)
    prepare(config, tmp_path / "shown.csv", tmp_path / "fits")
    assert "longer than" not in capsys.readouterr().err
    config = load_config(changes={**given, "adapt": {"support_size": 3}})
    prepare(config, tmp_path / "shown.csv", tmp_path / "small")
    assert (
        "note: 16 of 48 lists are longer than adapt.support_size (3); supports hold whole lists"
    ) in capsys.readouterr().err


def test_few_lists_are_a_setting_of_the_data(run: Run) -> None:
    assert run.dataset.schema.min_user_lists == 4
    other = Run(run.directory, change_config(run.config, {"data.min_user_lists": 5}))
    with pytest.raises(CheckpointError, match=r"data\.min_user_lists=4, this run has 5"):
        _ = other.dataset

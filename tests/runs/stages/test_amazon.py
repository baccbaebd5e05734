"""The pipeline on Amazon reviews: few rows per user, nearly all of them positive."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from metaselector.cli import main
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.evaluate.bounds import BOUNDS
from metaselector.evaluate.predictions import load_predictions

USERS, ITEMS = 60, 30
SMOKE = """
base_models:
  lr: {pretrain: {epochs: 1}}
  fm: {pretrain: {epochs: 1}}
selector: {hidden_size: 4, epochs: 1}
adapt: {support_size: 5}
meta_train: {epochs: 1}
paper: {epochs: 1}
evaluate: {resamples: 20}
threads: 1
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reviews of users of 5 to 12 rows, 88 % positive, and metadata."""
    folder = tmp_path_factory.mktemp("shop")
    write_reviews(folder, (5 + user % 8 for user in range(USERS)), np.random.default_rng(0))
    meta = [{"asin": f"B{i}", "categories": [["Shop", f"Part {i % 4}"]]} for i in range(ITEMS)]
    write_zipped(folder / "meta_X.json.gz", map(str, meta))
    return folder


def write_reviews(folder: Path, counts: Iterable[int], generator: np.random.Generator) -> None:
    """Write reviews of each user, 88 % of them positive."""
    reviews = [
        {
            "reviewerID": f"A{user}",
            "asin": f"B{generator.integers(ITEMS)}",
            "overall": float(generator.choice([5, 1], p=[0.88, 0.12])),
            "unixReviewTime": 1_300_000_000 + 86_400 * time,
        }
        for user, count in enumerate(counts)
        for time in range(count)
    ]
    write_zipped(folder / "reviews_X_5.json.gz", map(json.dumps, reviews))


def write_zipped(path: Path, lines: Iterable[str]) -> None:
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))


def reproduce(dataset: str, data: Path, directory: Path) -> Path:
    """Run the main job with the shortest settings."""
    settings = directory / "smoke.yaml"
    settings.write_text(SMOKE)
    arguments = ["--dataset", dataset, "--data", data, "--run", directory / "run"]
    arguments += ["--config", settings]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["metaselector", "reproduce", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
    torch.set_num_threads(1)
    assert not exited.value.code
    return directory / "run"


def check(run: Path) -> pd.DataFrame:
    """Check what holds for every run, and return its results by model."""
    results = pd.read_csv(run / "results.csv").set_index("model")
    assert results["logloss"]["oracle-user"] < results["logloss"][["lr", "fm", "user-best"]].min()
    scored = results.drop(index=list(BOUNDS))
    assert np.isfinite(scored[["auc", "logloss", "rela_impr", "ndcg_10", "mrr"]]).all(axis=None)
    predictions = load_predictions(run / "predictions.parquet")
    table = predictions[predictions["model"] == "metaselector"]
    assert len(table) == results.loc["metaselector", "n_test"]
    assert roc_auc_score(table["y"], table["p"]) == pytest.approx(results.auc["metaselector"])
    classes = table.groupby("user")["y"].nunique()
    users = int((classes == 2).sum())
    assert 0 < users < len(classes), "the data should have users of one class, and of both"
    assert set(results["gauc_users"]) == {users}
    assert f"GAUC over the {users} users with both classes" in (run / "summary.md").read_text()
    return results


def test_users_of_one_class_and_of_few_rows(shop: Path, tmp_path: Path) -> None:
    run = reproduce("amazon", shop, tmp_path)
    check(run)
    schema = EncodedDataset.load(run / "data").schema
    assert [field.name for field in schema.fields] == [
        "user",
        "item",
        "categories",
        "history_items",
        "history_categories",
        "day_of_week",
        "season",
    ]


def test_no_user_of_both_classes(tmp_path: Path) -> None:
    """With one test row per user, GAUC is undefined: blank cells, and 0 users counted."""
    generator = np.random.default_rng(0)
    write_reviews(tmp_path, (5 + user % 5 for user in range(USERS)), generator)
    run = reproduce("amazon", tmp_path, tmp_path)
    results = pd.read_csv(run / "results.csv")
    assert results["gauc"].isna().all()
    assert set(results["gauc_users"]) == {0}
    assert results["auc"].notna().all()
    summary = (run / "summary.md").read_text()
    assert "GAUC over the 0 users with both classes" in summary
    assert "nan" not in summary


@pytest.mark.slow
def test_the_real_musical_instruments(real_data: Path, tmp_path: Path) -> None:
    data = real_data / "reviews_Musical_Instruments_5.json.gz"
    run = reproduce("amazon-musical-instruments", data, tmp_path)
    results = check(run)
    assert set(results["dataset"]) == {"amazon-musical-instruments"}
    assert set(results["n_users"]) == {1429}
    dataset = EncodedDataset.load(run / "data")
    assert len(dataset) == 10_261
    assert dataset.labels.mean() == pytest.approx(0.8793, abs=1e-4)

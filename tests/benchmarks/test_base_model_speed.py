"""The peers get all ids, and their fastest loop counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import movielens
from benchmarks.base_model_speed import evaluation, figures
from benchmarks.peers import columns
from metaselector.config import Config
from metaselector.data.encoded.schema import PADDING_ID
from metaselector.data.planted import planted_world
from metaselector.data.splitting.windows import window_rows
from metaselector.meta.adapted import WindowPredictions


def test_columns_keep_every_id(tmp_path: Path, write_world: Callable[[Path], Path]) -> None:
    dataset = movielens.load(write_world(tmp_path))
    rows = np.arange(len(dataset))
    found = columns(dataset, rows)

    shared = []
    for field in dataset.schema.fields:
        ids = found[field.name].ids
        shared.append(torch.where(ids == 0, PADDING_ID, ids - 1 + field.first_id))
    assert torch.equal(torch.cat(shared, dim=1), dataset.batch(rows).ids)
    assert (found["history_items"].ids == 0).any()
    for size, ids in found.values():
        assert 0 <= ids.min() <= ids.max() < size


def test_every_test_row_is_predicted() -> None:
    dataset = planted_world(10, 12, 8, np.random.default_rng(0)).dataset
    found = evaluation(dataset, Config())()
    assert isinstance(found, WindowPredictions)
    assert np.array_equal(found.rows, window_rows(dataset.user_offsets, 90, 100))
    assert ((found.probabilities > 0) & (found.probabilities < 1)).all()


def test_figures_take_medians_and_the_best_peer() -> None:
    seconds = {
        "evaluate users": [1.0, 9.0, 2.0],
        "train lr": [1.0],
        "train fm": [2.0],
        "train deepfm": [4.0, 4.0, 90.0],
        "predict deepfm": [0.5],
        "train deepctr-torch fit": [20.0],
        "train torch-rechub loop": [10.0],
        "predict torch-rechub loop": [0.1],
    }
    assert figures(seconds, rows=100) == pytest.approx(
        {
            "deepfm_over_best_peer": 2.5,
            "lr_rows_per_second": 100,
            "fm_rows_per_second": 50,
            "deepfm_rows_per_second": 25,
            "predict_rows_per_second": 200,
            "evaluate_users_seconds": 2,
        }
    )

"""Labels known in all rows, and figures in which a peer's fastest loop counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import multitask_speed
from benchmarks.command import Timing
from benchmarks.contenders import Contender
from benchmarks.multitask_peers import Sizes, our_options
from benchmarks.multitask_speed import EMBEDDING_SIZE, contender, figures, for_model, load
from metaselector.config.training import PretrainConfig


def test_labels_are_those_of_a_funnel_without_gaps(
    tmp_path: Path, write_world: Callable[[Path], Path]
) -> None:
    dataset = load(write_world(tmp_path))
    first, second = dataset.task_labels.T
    assert dataset.task_labels.shape == (len(dataset), 2)
    assert np.isin(dataset.task_labels, (0, 1)).all()
    assert (second <= first).all()
    assert second.mean() < first.mean()
    assert dataset.schema.parents == (None, 0)
    assert for_model("esmm", dataset).schema.parents == (None, 0)
    assert for_model("mmoe", dataset).schema.parents == (None, None)


def test_our_model_is_timed_beside_its_peers(
    tmp_path: Path, write_world: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    peer = Contender(lambda: calls.append("trained"), lambda: torch.zeros(1))
    monkeypatch.setattr(multitask_speed, "peers", lambda *given: {"mmoe": {"peer": peer}})
    monkeypatch.setattr(multitask_speed, "check_learned", lambda group, labels: {})
    path = tmp_path / "speed.json"
    multitask_speed.time_models(Timing(path, write_world(tmp_path / "raw"), "cpu", 1))
    assert calls
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["mmoe_rows_per_second"] > 0
    assert {*found["raw"]["seconds"]["mmoe"]} == {"ours", "peer"}


def test_ours_learn_and_predict_all_rows(
    tmp_path: Path, write_world: Callable[[Path], Path]
) -> None:
    dataset = load(write_world(tmp_path))
    rows = np.arange(0, len(dataset), 3)
    labels = torch.from_numpy(dataset.task_labels[rows])
    for name in our_options(Sizes(), EMBEDDING_SIZE):
        made = contender(name, dataset, rows, PretrainConfig(batch_size=64), "cpu")
        before = made.predict()
        made.train()
        after = made.predict()
        assert after.shape == labels.shape
        assert ((after >= 0) & (after <= 1)).all()
        wrong = [torch.nn.functional.binary_cross_entropy(p, labels) for p in (before, after)]
        assert wrong[1] < wrong[0], name


def test_figures_take_medians_and_the_best_peer() -> None:
    seconds = {
        "mmoe": {
            "ours": [1.0, 90.0, 2.0],
            "torch-rechub fit": [20.0],
            "deepctr-torch loop": [6.0, 7.0, 5.0],
        },
        "aitm": {"ours": [4.0], "torch-rechub loop": [8.0]},
    }
    assert figures(seconds, rows=100) == pytest.approx(
        {
            "mmoe_over_best_peer": 3.0,
            "mmoe_rows_per_second": 50,
            "aitm_over_best_peer": 2.0,
            "aitm_rows_per_second": 25,
        }
    )

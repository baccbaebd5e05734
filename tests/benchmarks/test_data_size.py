"""Settings by the size of the data."""

from __future__ import annotations

import pandas as pd

from benchmarks.data_size import WAYS, _entries, page
from metaselector.config.models import SINGLE_TASK


def test_data_of_the_same_size_has_one_way() -> None:
    entries = dict(_entries(100_000))
    assert [model for model, _, _ in entries.values()] == [*SINGLE_TASK]


def test_small_data_differ_in_weight_decay_only() -> None:
    entries = dict(_entries(10_000))
    assert len(entries) == 2 * len(SINGLE_TASK)
    batches = {described["pretrain"]["batch_size"] for _, _, described in entries.values()}
    assert batches == {512}


def test_large_data_have_every_way() -> None:
    entries = dict(_entries(1_000_000))
    assert len(entries) == len(WAYS) * len(SINGLE_TASK)
    of_fm = {way: e["pretrain"] for model, way, e in entries.values() if model == "fm"}
    assert of_fm["default"] == {"batch_size": 2048, "learning_rate": 0.005, "weight_decay": 1e-05}
    assert of_fm["both of MovieLens-100K"]["weight_decay"] == 1e-4
    assert of_fm["learning rate grows with the batch"]["learning_rate"] == 0.01


def test_page() -> None:
    record = {
        "model": "fm",
        "settings": "default",
        "batch_size": 512,
        "learning_rate": 0.005,
        "weight_decay": 1e-4,
        "valid_logloss": 0.51234,
        "epochs": 7,
        "seconds": 3.2,
    }
    made = page(pd.DataFrame([record]), "movielens-100k", 100_000, "command")
    assert "| fm | default | 512 | 0.005 | 0.0001 | 0.5123 | 7 | 3 |" in made

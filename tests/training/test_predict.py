"""Predictions of base models: of many rows, in chunks, by several models at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from base_models import FM, SharedBottom, Task
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.models.precomputed import Scored
from metaselector.training import predict as module
from metaselector.training.predict import mean_probability, predict


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    made = planted_world(2, 10, 4, np.random.default_rng(0)).dataset
    scores = np.random.default_rng(1).normal(size=(len(made), 2)).astype(np.float32)
    return replace(made, scores=scores)


def models(dataset: EncodedDataset) -> list[nn.Module]:
    torch.manual_seed(0)
    ids, fields = dataset.schema.num_ids, dataset.schema.slot_fields
    several = SharedBottom(ids, fields, tasks=[Task(), Task()])
    made: list[nn.Module] = [FM(ids, fields), several, Scored(dataset.schema.num_slots + 1)]
    for parameter in (p for model in made for p in model.parameters()):
        nn.init.normal_(parameter, std=0.5)
    return made


@pytest.mark.parametrize("chunk", [7, 8192])
def test_the_mean_of_several_models(
    chunk: int, dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PREDICTION_ROWS", chunk)
    fm, several, scored = models(dataset)
    rows = np.array([39, 3, 4, 5, 20, 21, 22, 23, 0, 3])
    logits = [
        predict(fm, dataset, rows),
        predict(several, dataset, rows)[:, 0],
        torch.from_numpy(dataset.scores[rows, 1]),
    ]
    wanted = sum(torch.sigmoid(of.double()) for of in logits) / 3
    found = mean_probability([fm, several, scored], dataset, rows)
    assert found.dtype == np.float64
    assert np.array_equal(found, wanted.numpy())
    assert mean_probability([fm, several, scored], dataset, rows[:0]).shape == (0,)


def test_scores_alone(dataset: EncodedDataset) -> None:
    found = mean_probability([Scored(dataset.schema.num_slots)], dataset, np.arange(3))
    assert np.array_equal(found, 1 / (1 + np.exp(-dataset.scores[:3, 0].astype(np.float64))))


def test_dropout_is_off(dataset: EncodedDataset) -> None:
    class Noisy(FM):
        def forward(self, batch):
            return nn.functional.dropout(super().forward(batch), 0.5, self.training)

    model, rows = Noisy(dataset.schema.num_ids, dataset.schema.slot_fields), np.arange(30)
    model.train()
    first = mean_probability([model], dataset, rows)
    assert np.array_equal(first, mean_probability([model], dataset, rows))

"""Rows that a training reads: the same whether they are assembled in advance or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import metaselector.data.encoded.chosen_rows as module
from metaselector.data.encoded.chosen_rows import ChosenRows
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world

CPU = torch.device("cpu")


@pytest.fixture
def dataset() -> EncodedDataset:
    return planted_world(3, 6, 5, np.random.default_rng(0)).dataset


def test_batches_are_those_of_the_data_set(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, places = np.array([8, 1, 29, 4, 17]), torch.tensor([4, 0, 0, 2])
    wanted = dataset.batch(rows[places.numpy()])
    few = ChosenRows(dataset, rows, CPU)
    monkeypatch.setattr(module, "MOST_SLOTS", len(rows) * dataset.schema.num_slots - 1)
    many = ChosenRows(dataset, rows, CPU)
    for found in (few.batch(places), many.batch(places)):
        for ours, theirs in zip(found, wanted, strict=True):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)


def test_many_rows_are_not_kept(dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Counted(EncodedDataset):
        def batch(self, rows, history_limits=None):  # type: ignore[no-untyped-def]
            asked.append(len(rows))
            return super().batch(rows, history_limits)

    counted = Counted(**{name: getattr(dataset, name) for name in dataset.__dataclass_fields__})
    monkeypatch.setattr(module, "MOST_SLOTS", 0)
    rows = ChosenRows(counted, np.arange(20), CPU)
    assert asked == []
    rows.batch(torch.tensor([3, 9]))
    assert asked == [2]

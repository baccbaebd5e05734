"""A model on the rows of a batch; tables on several workers are in tests/training/distributed."""

from __future__ import annotations

import pytest
import torch

from base_models import LR
from metaselector.data.encoded.batch import Batch, empty_rows
from metaselector.models.kernels import on_rows
from metaselector.models.kernels.on_rows import (
    distinct,
    join,
    outputs,
    outputs_of_padding,
    tables_elsewhere,
)


@pytest.mark.parametrize("largest", [3, 10_000])  # few possible ids, and many
def test_distinct_ids(largest: int) -> None:
    ids = torch.randint(largest + 1, (5, 7), generator=torch.Generator().manual_seed(0))
    rows, places = distinct(ids)
    wanted, inverse = torch.unique(ids, return_inverse=True)
    assert torch.equal(rows, wanted)
    assert torch.equal(places, inverse)


def test_whole_tables_are_used_as_they_are() -> None:
    model = LR(4, [0, 1])
    batch = Batch(torch.tensor([[1, 3]]), torch.ones(1, 2))
    assert not tables_elsewhere(model)
    assert torch.equal(outputs(model, batch), model(batch))
    assert torch.equal(outputs_of_padding(model, empty_rows(2, 2)), model(empty_rows(2, 2)))
    join(model)  # nobody waits


def test_a_table_elsewhere_is_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model sees the touched rows and id 0 alone, with ids among them."""
    model = LR(6, [0, 1])
    torch.nn.init.normal_(model.linear.weight)
    batch = Batch(torch.tensor([[5, 3], [2, 3]]), torch.ones(2, 2))
    wanted, asked = model(batch), []
    monkeypatch.setattr(on_rows, "is_elsewhere", lambda table: True)

    def take(tables: dict[str, torch.Tensor], rows: torch.Tensor) -> dict[str, torch.Tensor]:
        asked.append(rows.tolist())
        return {name: table[rows] for name, table in tables.items()}

    monkeypatch.setattr(on_rows, "take_tables", take)
    assert torch.equal(outputs(model, batch), wanted)
    join(model)
    assert asked == [[0, 2, 3, 5], []]

"""Rows for the models of both libraries and for ours; without the libraries, nothing runs here."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.peers import Column
from metaselector.models.external.deepctr_torch import silence_version_check
from tests.benchmarks.multitask_peers.twins import FIELD_SIZES, N

MISSING = "not installed; run `make benchmark-peers`"
silence_version_check()


@pytest.fixture(autouse=True)
def installed() -> None:
    pytest.importorskip("deepctr_torch", reason=MISSING)
    pytest.importorskip("torch_rechub", reason=MISSING)


@pytest.fixture
def fields() -> dict[str, Column]:
    """Fields of one slot, since both libraries round to float32 when they pool several."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: Column(size, torch.randint(1, size, (N, 1), generator=generator))
        for name, size in zip("abc", FIELD_SIZES, strict=True)
    }


@pytest.fixture
def labels() -> Tensor:
    """Labels of a funnel: the second is 0 where the first is 0."""
    generator = torch.Generator().manual_seed(1)
    first = torch.rand(N, generator=generator) < 0.6
    second = first & (torch.rand(N, generator=generator) < 0.5)
    return torch.stack([first, second], dim=1).double()

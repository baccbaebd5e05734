"""What the outer loop learned, given to other base models."""

from __future__ import annotations

import pytest
import torch

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.meta.learned import MetaLearned
from tests.meta.outer_world import equal, mixture, parameters, planted, theta


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted()


def test_attach_copies_phi_and_adds_shift(dataset: EncodedDataset) -> None:
    model = mixture(dataset, 1)
    before = parameters(model)
    phi = {n: torch.rand_like(p) for n, p in before.items() if n.startswith("selector.")}
    shift = {n: torch.rand_like(p) for n, p in theta(before).items()}
    attached = MetaLearned(phi, shift, alpha={}).attach(model)
    assert attached is model
    after = parameters(model)
    assert equal({name: after[name] for name in phi}, phi)
    assert equal(theta(after), {name: before[name] + shift[name] for name in shift})

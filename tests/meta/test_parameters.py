"""What the outer loop learned, given to other base models."""

from __future__ import annotations

import pytest
import torch

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.meta.parameters import MetaParameters
from tests.meta.outer_world import equal, mixture, parameters, planted, theta


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted()


def test_attach_copies_phi_and_adds_shift(dataset: EncodedDataset) -> None:
    model = mixture(dataset, 1)
    before = parameters(model)
    phi = {n: torch.rand_like(p) for n, p in before.items() if n.startswith("selector.")}
    theta_delta = {n: torch.rand_like(p) for n, p in theta(before).items()}
    attached = MetaParameters(phi, theta_delta, alpha={}).attach(model)
    assert attached is model
    after = parameters(model)
    assert equal({name: after[name] for name in phi}, phi)
    assert equal(theta(after), {name: before[name] + theta_delta[name] for name in theta_delta})


def test_learned_numbers_are_saved_and_found_again() -> None:
    """Their names have a slash, as a part's has; a colon parts the choices for support sizes."""
    alpha = {
        "selector.output.bias": torch.rand(2),
        "support/half_life": torch.rand(2),
        "residuals/similarity": torch.rand(3),
        "support-5:support/half_life": torch.rand(1),
    }
    learned = MetaParameters({"selector.output.bias": torch.rand(1)}, {}, alpha)
    again = MetaParameters.of_tensors(learned.tensors(), "cpu")
    assert equal(again.alpha, alpha)
    assert equal(again.phi, learned.phi)
    assert again.theta_delta == {}

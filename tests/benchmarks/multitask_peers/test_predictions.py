"""The other libraries' models predict what ours do with the same weights."""

from __future__ import annotations

import pytest
import torch

from benchmarks import deepctr_torch_peer, torch_rechub_peer
from benchmarks.multitask_peers import deepctr_torch_models, of_all_rows, torch_rechub_models
from benchmarks.peers import Column
from tests.benchmarks.multitask_peers.twins import (
    OURS,
    SIZES,
    D,
    of_deepctr_torch,
    of_torch_rechub,
    our_batch,
    probabilities,
    randomise,
)


@pytest.mark.parametrize("name", ["shared-bottom", "mmoe", "ple", "esmm"])
def test_predictions_of_deepctr_torch_are_ours(name: str, fields: dict[str, Column]) -> None:
    theirs = randomise(deepctr_torch_models(fields, SIZES, D)[name]())
    expected = theirs(deepctr_torch_peer.inputs(fields).double())
    found = probabilities(of_deepctr_torch(name, theirs), our_batch(fields))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    assert expected.std(0).min() > 1e-3


@pytest.mark.parametrize("name", OURS)
def test_predictions_of_torch_rechub_without_batch_norm_are_ours(
    name: str, fields: dict[str, Column]
) -> None:
    theirs = randomise(torch_rechub_models(fields, SIZES, D)[name]())
    made = of_torch_rechub(name, theirs)  # removes the gates' biases from both
    expected = of_all_rows(theirs(torch_rechub_peer.inputs(fields)))
    found = probabilities(made, our_batch(fields))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    assert expected.std(0).min() > 1e-3

"""Outputs that look like probabilities are told from logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from base_models import FM, LR, BaseModel, Batch
from metaselector.testing import check_base_model
from metaselector.testing.outputs import logits_are_no_probabilities
from metaselector.testing.subject import Subject, schema_for


class Probabilities(LR):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch).sigmoid()


class Clipped(LR):
    """Never 0 or 1, like the output of many libraries."""

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch).sigmoid().clamp(1e-6, 1 - 1e-6)


class BoundedLogits(LR):
    def forward(self, batch: Batch) -> Tensor:
        return 0.5 + 0.5 * torch.tanh(super().forward(batch))


class Positive(LR):
    """Logits that are never negative, but may exceed 1."""

    def forward(self, batch: Batch) -> Tensor:
        return nn.functional.softplus(super().forward(batch))


def subject(model: type[nn.Module], seed: int) -> Subject:
    return Subject(model, {}, schema_for(model), seed)


@pytest.mark.parametrize("model", [Probabilities, Clipped], ids=lambda model: model.__name__)
def test_probabilities_are_refused(model: type[BaseModel]) -> None:
    with pytest.raises(AssertionError, match="remove the final sigmoid") as caught:
        check_base_model(model)
    assert str(caught.value).startswith(f"{model.__name__}: all outputs lie between 0 and 1")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("model", [Probabilities, Clipped], ids=lambda model: model.__name__)
def test_whatever_the_seed(model: type[BaseModel], seed: int) -> None:
    with pytest.raises(AssertionError, match="look like probabilities"):
        logits_are_no_probabilities(subject(model, seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("model", [LR, FM, Positive], ids=lambda model: model.__name__)
def test_logits_are_not_taken_for_probabilities(model: type[nn.Module], seed: int) -> None:
    logits_are_no_probabilities(subject(model, seed))


def test_bounded_logits_pass_if_the_author_says_so() -> None:
    with pytest.raises(AssertionError, match="bounded_logits=True"):
        check_base_model(BoundedLogits)
    check_base_model(BoundedLogits, bounded_logits=True)

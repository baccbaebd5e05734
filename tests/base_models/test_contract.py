"""Tasks that multi-task models accept, and the means in their losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from base_models import SharedBottom, Task
from base_models.contract import labelled_mean, observed_losses


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        ([], "at least one task"),
        ([(0,)], "task 0 must be after an earlier task, not 0"),
        ([(None,), (2,), (None,)], "task 1 must be after an earlier task, not 2"),
        ([(None,), (-1,)], "task 1 must be after an earlier task, not -1"),
        ([(None, True), (0,)], "task 1 cannot be after task 0, which is numeric"),
    ],
)
def test_impossible_tasks(make: Any, tasks: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make(SharedBottom, tasks)


def test_losses_of_extreme_outputs_are_finite() -> None:
    outputs = torch.tensor([[-2e4, 3.0], [2e4, 5.0]], requires_grad=True)
    labels = torch.tensor([[1.0, torch.nan], [1.0, 2.0]])
    losses = observed_losses(outputs, labels, [Task(), Task(numeric=True)])
    assert losses.tolist() == [1e4, 9]
    losses.sum().backward()
    assert outputs.grad.tolist() == [[-0.5, 0], [0, 6]]


def test_mean_of_labelled_rows() -> None:
    labels = torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan], [torch.nan, 0.0]])
    assert labelled_mean(torch.tensor([1.0, 100.0, 2.0]), labels) == 1.5

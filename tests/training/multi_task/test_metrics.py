"""Validation metrics per task, on the rows where the task is observed."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from metaselector.training.multi_task.metrics import task_metrics

NAN = math.nan


def test_each_task_is_measured_where_it_is_observed() -> None:
    """The second task follows the first, as a conversion a click: clicked rows alone count."""
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    labels = (torch.rand(50, 3, generator=generator, dtype=torch.float64) < 0.5).double()
    labels[labels[:, 0] == 0, 1] = NAN
    labels[::2, 2] = NAN
    labels[:, 2] *= 4.0
    click, conversion, stars = task_metrics(outputs, labels, [False, False, True])
    clicked, seen = labels[:, 0] == 1, ~labels[:, 2].isnan()
    y, logits = labels[clicked, 1], outputs[clicked, 1]
    assert click.rows == 50
    assert click.auc == pytest.approx(roc_auc_score(labels[:, 0], outputs[:, 0]))
    assert conversion.rows == int(clicked.sum()) < 50
    assert conversion.auc == pytest.approx(roc_auc_score(y, logits))
    assert conversion.logloss == conversion.loss == pytest.approx(log_loss(y, logits.sigmoid()))
    assert math.isnan(conversion.rmse)
    errors = (outputs[seen, 2] - labels[seen, 2]) ** 2
    assert stars.rows == 25
    assert stars.rmse == pytest.approx(errors.mean().sqrt().item())
    assert stars.loss == pytest.approx(errors.mean().item())
    assert math.isnan(stars.auc)
    assert math.isnan(stars.logloss)


def test_a_task_that_no_row_observes() -> None:
    (found,) = task_metrics(torch.zeros(3, 1), torch.full((3, 1), NAN), [False])
    assert found.rows == 0
    assert all(math.isnan(value) for value in found[1:])


def test_auc_of_one_class_or_of_a_diverged_model_is_nan() -> None:
    (same,) = task_metrics(torch.zeros(3, 1), torch.ones(3, 1), [False])
    assert math.isnan(same.auc)
    assert same.logloss == pytest.approx(math.log(2))
    labels = torch.tensor([[0.0], [1.0]])
    (diverged,) = task_metrics(torch.tensor([[NAN], [1.0]]), labels, [False])
    assert math.isnan(diverged.auc)
    assert math.isnan(diverged.loss)

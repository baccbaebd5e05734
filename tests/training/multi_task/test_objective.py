"""Training multi-task models."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from base_models import LR, Task, TaskLosses
from base_models.contract import Batch, observed_losses
from metaselector.common.errors import ConfigError
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.training.multi_task.metrics import task_metrics
from metaselector.training.predict import labels_for, predict

from .conftest import (
    CONFIG,
    TASKS,
    VALID,
    N,
    Tiny,
    changed,
    fit,
    new_model,
    world,
)

BALANCES: dict[str, PretrainConfig] = {
    "sum": CONFIG,
    "weighted": changed(task_weights={"watched": 1.0, "liked": 2.0, "stars": 0.5}),
    "decaying": changed(balance="decaying", task_decay={"stars": 0.9}),
    "uncertainty": changed(balance="uncertainty"),
}


@pytest.mark.parametrize("balance", BALANCES)
def test_every_task_of_a_separable_world_is_learned(dataset: EncodedDataset, balance: str) -> None:
    model = new_model(dataset)
    made = fit(model, dataset, BALANCES[balance])
    outputs = predict(model, dataset, VALID)
    assert outputs.shape == (len(VALID), 3)
    watched, liked, stars = task_metrics(
        outputs, torch.from_numpy(dataset.task_labels[VALID]), [False, False, True]
    )
    assert watched.auc == liked.auc == 1
    assert watched.logloss < 0.1
    assert stars.rmse < 0.4
    kept = made.history[made.epochs - 1]
    assert kept["valid_auc_liked"] == 1
    assert kept["valid_loss_liked"] == liked.logloss
    assert kept["valid_rows_liked"] == liked.rows == 25
    assert math.isnan(kept["valid_auc_stars"])


def test_training_stops_by_the_weighted_losses_of_predictions(dataset: EncodedDataset) -> None:
    weights = {"watched": 1.0, "liked": 2.0, "stars": 0.5}
    made = fit(new_model(dataset), dataset, changed(task_weights=weights, epochs=4))
    for line in made.history:
        expected = sum(w * line[f"valid_loss_{name}"] for name, w in weights.items())
        assert line["valid_loss"] == pytest.approx(expected)
    assert made.epochs == min(made.history, key=lambda line: line["valid_loss"])["epoch"]


def test_a_penalty_is_trained_on_but_not_judged_by(dataset: EncodedDataset) -> None:
    class Penalised(Tiny):
        def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
            found = super().losses(batch, labels)
            return found._replace(penalty=100 * (self.table**2).sum())

    plain = new_model(dataset)
    model = Penalised(dataset.schema.num_ids, dataset.schema.slot_fields, TASKS)
    model.load_state_dict(plain.state_dict())
    fit(plain, dataset, valid=None, epochs=5)
    made = fit(model, dataset, epochs=5)
    assert model.table.norm() < 0.5 * plain.table.norm()
    assert all(line["valid_loss"] < 20 for line in made.history)


def test_one_task_with_a_mask_is_plain_training(dataset: EncodedDataset) -> None:
    """A model of one task in both guises takes the same steps."""
    labels = (np.arange(N) % 2 == 0)[:, None]
    single = world(labels, ("watched",))

    class Several(LR):
        tasks = (Task(),)

        def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
            outputs = self(batch)[..., None]
            return TaskLosses(observed_losses(outputs, labels, self.tasks), outputs.new_zeros(()))

        def parameter_groups(self) -> dict[str, tuple[str, ...]]:
            return {"shared": tuple(name for name, _ in self.named_parameters())}

    models = [kind(single.schema.num_ids, single.schema.slot_fields) for kind in (LR, Several)]
    for model in models:
        fit(model, single, valid=None, epochs=3)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_model_of_one_task_learns_the_first(dataset: EncodedDataset) -> None:
    model = LR(dataset.schema.num_ids, dataset.schema.slot_fields)
    fit(model, dataset)
    assert labels_for(model, dataset, VALID).shape == (len(VALID),)
    expected = torch.from_numpy(dataset.task_labels[VALID, 0])
    assert ((predict(model, dataset, VALID) > 0) == expected.bool()).all()


def test_valid_rows_that_observe_nothing(dataset: EncodedDataset) -> None:
    unseen = replace(dataset, task_labels=np.full((N, 3), np.nan, dtype=np.float32))
    with pytest.raises(ConfigError, match="the valid logloss is non-finite"):
        fit(new_model(dataset), unseen)


def test_torchjd_trains(dataset: EncodedDataset) -> None:
    pytest.importorskip("torchjd")
    model = new_model(dataset)
    fit(model, dataset, changed(balance="aggregator", aggregator="PCGrad"))
    labels = torch.from_numpy(dataset.task_labels[VALID])
    watched, liked, stars = task_metrics(
        predict(model, dataset, VALID), labels, [False, False, True]
    )
    assert watched.auc == liked.auc == 1
    assert stars.rmse < 0.4

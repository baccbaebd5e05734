"""Training of base models."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from base_models import FM, LR, DeepFM
from metaselector.common.errors import ConfigError
from metaselector.common.progress import Silent
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded import chosen_rows as chosen_rows_module
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
from metaselector.training import objective as objective_module
from metaselector.training import predict as predict_module
from metaselector.training.freezing import Freezing
from metaselector.training.predict import logloss, predict
from metaselector.training.pretrain import Pretrained, pretrain

WORDS = 6
CONFIG = PretrainConfig(learning_rate=0.1, weight_decay=0, batch_size=16, epochs=20, patience=3)


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    """One user, 120 rows of one word each; the label says whether the word is even."""
    n = 120
    codes = np.arange(n) % WORDS
    words = tuple(str(i) for i in range(WORDS))
    field = Field(name="word", kind="categorical", slots=1, first_id=1, vocabulary=words)
    return EncodedDataset.of_rows(
        Schema(
            dataset="separable",
            label_threshold=1,
            history_length=0,
            windows=(60, 80, 90),
            fields=(field,),
        ),
        cells=(2 + codes[:, None]).astype(np.int32),
        labels=(codes % 2 == 0).astype(np.float32),
        user_offsets=np.array([0, n]),
        user_names=("ann",),
    )


TRAIN, VALID = np.arange(90), np.arange(90, 120)


def new_model(dataset: EncodedDataset) -> nn.Module:
    return LR(dataset.schema.num_ids, dataset.schema.slot_fields)


def fit(
    model: nn.Module,
    dataset: EncodedDataset,
    *,
    seed: int = 0,
    valid: np.ndarray | None = VALID,
    epochs: int = CONFIG.epochs,
    config: PretrainConfig = CONFIG,
    freezing: Freezing | None = None,
) -> Pretrained:
    generator = np.random.default_rng(seed)
    return pretrain(
        model,
        dataset,
        TRAIN,
        config,
        generator,
        valid=valid,
        epochs=epochs,
        description="fit",
        progress=Silent(),
        freezing=freezing,
    )


def weights(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def script_valid_losses(monkeypatch: pytest.MonkeyPatch, losses: Sequence[float]) -> list[Any]:
    """Make the epochs' valid losses these; returns the weights that each epoch is judged by."""
    seen: list[Any] = []

    def scripted(model: nn.Module, *_: Any) -> float:
        seen.append(weights(model))
        return losses[len(seen) - 1]

    monkeypatch.setattr(objective_module, "logloss", scripted)
    return seen


def test_a_separable_world_is_learned(dataset: EncodedDataset) -> None:
    model = new_model(dataset)
    before = logloss(model, dataset, VALID)
    made = fit(model, dataset)
    assert logloss(model, dataset, VALID) < 0.1 < before
    assert ((predict(model, dataset, VALID) > 0) == dataset.label(VALID).bool()).all()
    assert [entry["epoch"] for entry in made.history] == list(range(1, 21))


def test_predictions_have_the_type_of_the_outputs(dataset: EncodedDataset) -> None:
    """And not that of parameters, which may have less precision."""

    class Double(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, dtype=torch.float16))

        def forward(self, batch: Batch) -> Tensor:
            return batch.ids[:, 0].double() / 3

    found = predict(Double(), dataset, VALID)
    assert torch.equal(found, dataset.batch(VALID).ids[:, 0].double() / 3)


def test_many_rows_are_assembled_a_batch_at_a_time(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = new_model(dataset), new_model(dataset)
    fit(few, dataset)
    monkeypatch.setattr(chosen_rows_module, "MOST_SLOTS", 0)
    fit(many, dataset)
    assert equal(weights(few), weights(many))


def test_history_holds_the_valid_loss_of_the_kept_weights(dataset: EncodedDataset) -> None:
    model = new_model(dataset)
    made = fit(model, dataset)
    kept = made.history[made.epochs - 1]
    assert kept["valid_loss"] == logloss(model, dataset, VALID)
    assert kept["valid_loss"] == min(entry["valid_loss"] for entry in made.history)


def test_best_weights_are_kept_and_patience_ends_training(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = script_valid_losses(monkeypatch, [0.7, 0.5, 0.6, 0.6, 0.5, 0.1])
    model = new_model(dataset)
    made = fit(model, dataset)
    assert len(made.history) == 5  # three epochs after the second are no better, 0.5 is a tie
    assert made.epochs == 2
    assert equal(weights(model), seen[1])
    assert not equal(weights(model), seen[-1])


def test_the_last_epoch_may_be_the_best(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = script_valid_losses(monkeypatch, [0.7, 0.6, 0.5])
    model = new_model(dataset)
    assert fit(model, dataset, epochs=3).epochs == 3
    assert equal(weights(model), seen[-1])


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_never_finite(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    script_valid_losses(monkeypatch, [loss] * 20)
    with pytest.raises(
        ConfigError, match=r"fit: the valid logloss is .*lower the model's pretrain"
    ):
        fit(new_model(dataset), dataset)


def test_refit_trains_for_exactly_the_epochs(dataset: EncodedDataset) -> None:
    made = fit(new_model(dataset), dataset, valid=None, epochs=7)
    assert made.epochs == len(made.history) == 7
    assert {entry["valid_loss"] for entry in made.history} == {None}


def test_refit_takes_the_steps_that_early_stopping_kept(dataset: EncodedDataset) -> None:
    """Same rows, same seed: validation only watches."""
    stopped, refitted = new_model(dataset), new_model(dataset)
    made = fit(stopped, dataset)
    fit(refitted, dataset, valid=None, epochs=made.epochs)
    assert equal(weights(stopped), weights(refitted))


def with_dropout(dataset: EncodedDataset, seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DeepFM(
            dataset.schema.num_ids,
            dataset.schema.slot_fields,
            embedding_size=2,
            hidden_sizes=(4,),
            dropout=0.5,
        )
    fit(model, dataset, seed=seed, epochs=3)
    return weights(model)


def test_the_seed_decides_the_weights(dataset: EncodedDataset) -> None:
    first, same, other = (with_dropout(dataset, seed) for seed in (1, 1, 2))
    assert equal(first, same)
    assert not equal(first, other)


def test_the_weights_do_not_depend_on_the_global_generator(dataset: EncodedDataset) -> None:
    first = with_dropout(dataset, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        assert equal(with_dropout(dataset, 1), first)


@pytest.mark.usefixtures("global_state")
def test_global_generators_are_left_alone(dataset: EncodedDataset) -> None:
    with_dropout(dataset, 1)


def test_the_model_ends_in_evaluation_mode(dataset: EncodedDataset) -> None:
    model = new_model(dataset)
    fit(model, dataset, valid=None, epochs=1)
    assert not model.training


def test_prediction_in_chunks_changes_nothing(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = new_model(dataset)
    fit(model, dataset, epochs=2)
    whole = predict(model, dataset, VALID)
    monkeypatch.setattr(predict_module, "PREDICTION_ROWS", 7)
    assert torch.equal(predict(model, dataset, VALID), whole)


# Parameters that wait


def test_patterns_are_trained_from_their_epoch_on(dataset: EncodedDataset) -> None:
    patterns = ("fm.linear.weight", "fm.embedding.*")
    trained = {}
    for epochs in (1, 2, 3):
        model = FM(dataset.schema.num_ids, dataset.schema.slot_fields)
        before = weights(model)
        freezing = Freezing("fm", dict(model.named_parameters()), patterns, every=1)
        fit(model, dataset, valid=None, epochs=epochs, freezing=freezing)
        after = weights(model)
        trained[epochs] = {name for name in before if not torch.equal(before[name], after[name])}
        assert all(parameter.requires_grad for parameter in model.parameters())
    assert trained == {
        1: {"linear.bias"},
        2: {"linear.bias", "embedding.weight"},
        3: {"linear.bias", "embedding.weight", "linear.weight"},
    }


@pytest.mark.parametrize(("every", "epochs"), [(None, 3), (2, 4), (5, 7)])
def test_patience_restarts_once_everything_is_unfrozen(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch, every: int | None, epochs: int
) -> None:
    """The first epoch is the best; with a patience of 2, two more are needed, or two thawed."""
    script_valid_losses(monkeypatch, [0.5, *[0.6] * 20])
    model = new_model(dataset)
    freezing = Freezing("lr", dict(model.named_parameters()), ("lr.linear.bias",), every)
    config = CONFIG.model_copy(update={"patience": 2})
    made = fit(model, dataset, config=config, freezing=freezing)
    assert (len(made.history), made.epochs) == (epochs, 1)

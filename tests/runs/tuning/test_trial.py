"""The loss of a trial, trained in memory, against what training saves."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.common.errors import CheckpointError
from metaselector.common.progress import Silent
from metaselector.config import Config, change_config
from metaselector.meta.variants import Variant
from metaselector.runs.run import Run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.runs.tuning.search import tune
from metaselector.runs.tuning.trial import valid_losses
from tests.runs.tuning.small_search import (
    FM,
    RATES,
    SIMPLIFIED,
    Write,
    checkpoints,
    trials,
)


def trained_loss(prepared: Run, folder: Path, config: Config, variant: Variant) -> float:
    """Return the loss on *valid* after training and saving with `config`."""
    run = Run(folder / "trained", config)
    run.directory.mkdir()
    (run.directory / "data").symlink_to(prepared.directory / "data")
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    record = run.checkpoints.learned_record(variant, 3)
    loss: float = record.history[record.best_epoch]["valid_loss"]
    return loss


def test_the_first_trial_is_what_training_finds(
    run: Run, prepared: Run, space: Write, tmp_path: Path
) -> None:
    found = tune(run, space(RATES), SIMPLIFIED, 1, Silent())
    assert found.before == found.best == trained_loss(prepared, tmp_path, run.config, SIMPLIFIED)
    assert found.chosen == {"adapt.inner_lr_phi": 0.5, "adapt.steps": 2}


def test_base_models_trained_in_memory_serve_as_saved_ones_do(
    run: Run, prepared: Run, tmp_path: Path
) -> None:
    changed = change_config(run.config, {"base_models.fm.pretrain.learning_rate": 0.02})
    (in_memory,) = valid_losses(run, "metaselector", changed)
    assert in_memory == trained_loss(prepared, tmp_path, changed, "metaselector")


def test_a_base_model_is_tuned_by_its_own_loss(run: Run, space: Write) -> None:
    before = checkpoints(run)
    found = tune(run, space(FM), "fm", 3, Silent())
    made = run.checkpoints.base_record("fm", "train", 3)
    assert found.before == min(row["valid_loss"] for row in made.history)
    assert found.best == trials(run, "fm")["valid_logloss"].min() <= found.before
    assert trials(run, "fm")["valid_logloss"].nunique() == 3
    assert checkpoints(run) == before


def test_trials_replace_no_checkpoint(run: Run, space: Write) -> None:
    before = checkpoints(run)
    tune(run, space(RATES + FM), "metaselector", 2, Silent())
    assert checkpoints(run) == before


def test_missing_base_models_are_trained_and_kept(run: Run, prepared: Run, space: Write) -> None:
    (run.directory / "checkpoints").unlink()
    tune(run, space(RATES), "sample-selector", 1, Silent())
    kept = {path.name for path in (run.directory / "checkpoints").rglob("*.safetensors")}
    assert kept == {f"base-{name}-{window}.safetensors" for name in ("lr", "fm") for window in
                    ("early", "train")}  # fmt: skip


def test_base_models_with_other_settings_are_not_replaced(run: Run, space: Write) -> None:
    other = Run(run.directory, change_config(run.config, {"base_models.lr.pretrain.epochs": 1}))
    before = checkpoints(run)
    with pytest.raises(CheckpointError, match=r"base_models\.lr\.pretrain\.epochs was 2, now 1"):
        tune(other, space(RATES), SIMPLIFIED, 1, Silent())
    assert checkpoints(run) == before
    tune(run, space(RATES), SIMPLIFIED, 1, Silent())  # a study without trials is continued


def test_a_nonfinite_loss_is_infinite(run: Run) -> None:
    adapt = run.config.adapt.model_copy(
        update={"inner_lr_phi": float("inf")}
    )  # which no setting allows
    diverging = run.config.model_copy(update={"adapt": adapt})
    assert list(valid_losses(run, SIMPLIFIED, diverging)) == [float("inf")]

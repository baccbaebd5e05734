"""Searches on a tiny data set."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from metaselector.common.errors import ConfigError
from metaselector.common.progress import Silent
from metaselector.config import Config, change_config
from metaselector.runs.run import Run
from metaselector.runs.tuning import search as stage
from metaselector.runs.tuning.search import tune
from tests.runs.notes import Notes
from tests.runs.tuning.small_search import (
    FM,
    RATES,
    SIMPLIFIED,
    Write,
    simple_losses,
    trials,
    tune_without_base_models,
)


@pytest.mark.usefixtures("simple")
def test_an_infinite_loss_is_a_trial_like_any_other(
    run: Run, space: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses(run: Run, target: str, config: Config) -> Iterator[float]:
        yield 1.0 if config == run.config else float("inf")

    monkeypatch.setattr(stage, "valid_losses", losses)
    found = tune(run, space(RATES), SIMPLIFIED, 3, Silent())
    assert (found.number, found.best, found.finished) == (0, 1.0, 3)


@pytest.mark.usefixtures("simple", "global_state")
def test_the_search_finds_what_is_better(run: Run, space: Write) -> None:
    found = tune(run, space(RATES), SIMPLIFIED, 25, Silent())
    assert found.before == pytest.approx(0.25 + 1 + 0.03)
    assert found.best < 0.2
    assert found.chosen["adapt.steps"] == 3
    assert found.finished == len(trials(run)) == 25


@pytest.mark.usefixtures("simple")
def test_interrupting_a_search_does_not_change_its_outcome(
    run: Run, space: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(run, space(RATES), SIMPLIFIED, 15, Silent(), study=run.directory / "whole.db")
    whole = trials(run)

    calls = iter(range(100))

    def interrupted(run: Run, target: str, config: Config) -> Iterator[float]:
        if next(calls) in (0, 12):
            raise KeyboardInterrupt
        yield from simple_losses(run, target, config)

    monkeypatch.setattr(stage, "valid_losses", interrupted)
    for total in (3, 15):
        with pytest.raises(KeyboardInterrupt):
            tune(run, space(RATES), SIMPLIFIED, total, Silent())
        tune(run, space(RATES), SIMPLIFIED, total, Silent())
    parts = trials(run)
    assert list(parts["state"]).count("fail") == 2
    parts = parts[parts["state"] != "fail"].drop(columns="trial").reset_index(drop=True)
    pd.testing.assert_frame_equal(parts, whole.drop(columns="trial"), check_exact=True)


@pytest.mark.usefixtures("simple")
def test_a_search_killed_before_its_first_trial(
    run: Run, space: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queued trial runs once, and does not replace the second trial too."""
    tune(run, space(RATES), SIMPLIFIED, 4, Silent(), study=run.directory / "whole.db")
    whole = trials(run)

    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage.optuna.Study, "ask", ended)
        with pytest.raises(KeyboardInterrupt):
            tune(run, space(RATES), SIMPLIFIED, 4, Silent())
    tune(run, space(RATES), SIMPLIFIED, 4, Silent())
    pd.testing.assert_frame_equal(trials(run), whole, check_exact=True)


@pytest.mark.usefixtures("simple")
def test_seeds_decide_what_is_tried(run: Run, space: Write) -> None:
    other = Run(run.directory, run.config.model_copy(update={"seeds": (4,)}))
    found = []
    for one, name in ((run, "a.db"), (run, "b.db"), (other, "c.db")):
        study = run.directory / name
        stage_run = tune if one is run else tune_without_base_models
        stage_run(one, space(RATES), SIMPLIFIED, 4, Silent(), study=study)
        found.append(list(trials(run)["adapt.inner_lr_phi"]))
    assert found[0] == found[1]
    assert found[0][0] == found[2][0] == 0.5
    assert found[0][1:] != found[2][1:]


@pytest.mark.usefixtures("simple")
def test_more_trials_than_there_are_to_do(run: Run, space: Write) -> None:
    first = tune(run, space(RATES), SIMPLIFIED, 3, Silent())
    assert tune(run, space(RATES), SIMPLIFIED, 2, Silent()) == first


@pytest.mark.usefixtures("simple")
def test_time_is_up(run: Run, space: Write) -> None:
    found = tune(run, space(RATES), SIMPLIFIED, 10, Silent(), timeout=0)
    assert (found.finished, found.before) == (1, found.best)


@pytest.mark.usefixtures("simple")
def test_settings_outside_the_space_are_still_compared_with(run: Run, space: Write) -> None:
    text = "adapt.inner_lr_phi: {low: 1.0, high: 3.0}\nadapt.steps: {low: 1, high: 2}\n"
    found = tune(run, space(text), SIMPLIFIED, 2, Silent())
    assert found.before == pytest.approx(0.25 + 1 + 0.03)
    first = trials(run).iloc[0]
    assert first["adapt.steps"] == 2  # the run's value, which lies in the space
    assert 1 <= first["adapt.inner_lr_phi"] <= 3


@pytest.mark.usefixtures("simple")
def test_bad_trials_are_stopped_before_the_last_seed(run: Run, space: Write) -> None:
    several = Run(run.directory, run.config.model_copy(update={"seeds": (0, 1, 2)}))
    found = tune_without_base_models(several, space(RATES), SIMPLIFIED, 30, Silent())
    table = trials(run)
    assert found.before == pytest.approx(0.25 + 1 + 0.01)
    pruned = table[table["state"] == "pruned"]
    assert len(pruned) > 3
    assert (pruned["seeds"] < 3).all()
    assert (table["seeds"][table["state"] == "complete"] == 3).all()
    assert pruned["valid_logloss"].min() > found.best


def test_settings_that_exclude_each_other(run: Run, space: Write) -> None:
    text = "adapt.granularity: {choices: [tensor, scalar]}\n"
    text += "adapt.inner_lr_phi: {low: 0.1, high: 1.0}\n"
    notes = Notes()
    found = tune(run, space(text), SIMPLIFIED, 6, notes)
    table = trials(run)
    refused = table["adapt.granularity"] == "scalar"
    assert 0 < refused.sum() < 6
    assert (table["state"] == refused.map({True: "pruned", False: "complete"})).all()
    assert table["refused"][refused].str.startswith("adapt.granularity=scalar shares one").all()
    assert found.finished == 6
    assert notes.texts[0].startswith(f"{refused.sum()} trials had invalid settings, for example: ")


def test_invalid_settings_of_the_run(run: Run, space: Write) -> None:
    wrong = Run(run.directory, change_config(run.config, {"adapt.granularity": "scalar"}))
    with pytest.raises(ConfigError, match="scalar shares one rate"):
        tune(wrong, space(RATES), SIMPLIFIED, 2, Silent())


@pytest.mark.parametrize(
    ("target", "text", "message"),
    [
        ("lr", FM, r"base_models\.fm\.pretrain\.learning_rate: changes nothing for --target lr"),
        ("fm", RATES, r"adapt\.inner_lr_phi: changes nothing for --target fm"),
        ("fm", "base_models.fm.options.embeding_size: {low: 1, high: 2}", "did you mean 'embedd"),
        (
            "fm",
            "base_models.fm.options.embedding_size: {low: 1.0, high: 2.0}",
            "base_models.fm: FM cannot be built",
        ),
        (
            "fm",
            "base_models.fm.options.embedding_size: {low: -2, high: 2}",
            "base_models.fm: FM cannot be built",
        ),
    ],
)
def test_what_a_target_cannot_be_tuned_by(
    run: Run, space: Write, target: str, text: str, message: str
) -> None:
    path = space(text)
    with pytest.raises(ConfigError, match=message) as caught:
        tune(run, path, target, 1, Silent())
    assert str(caught.value).startswith(f"{path}: base_models" if "fm" in text else f"{path}: ")
    assert not (run.directory / "tune").exists()

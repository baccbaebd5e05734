"""Searching settings on a tiny world."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pandas as pd
import pytest

from metaselector.common.errors import CheckpointError, ConfigError, UserError
from metaselector.common.progress import Silent
from metaselector.config import Config, change_config, load_config
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.runs.tuning import search as stage
from metaselector.runs.tuning.search import tune
from metaselector.runs.tuning.trial import valid_losses

SIMPLIFIED = "metaselector-simplified"
RATES = """
adapt.inner_lr_phi: {low: 0.1, high: 3.0, log: true}
adapt.steps: {low: 1, high: 3}
"""
FM = "base_models.fm.pretrain.learning_rate: {low: 0.001, high: 0.05, log: true}\n"


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def prepared(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("tune")
    quick = (
        "meta_train.epochs=1",
        "adapt.support_size=5",
        "selector.hidden_size=4",
        "threads=1",
        "seeds=[3]",
    )
    short = {"pretrain": {"epochs": 2}}
    config = load_config(overrides=quick, changes={"base_models": {"lr": short, "fm": short}})
    config = config.model_copy(
        update={"base_models": {n: m for n, m in config.base_models.items() if n != "deepfm"}}
    )
    run = Run(folder / "run", config)
    prepare_run(run, write_world(folder / "raw"), folder)
    pretrain_base_models(run, Silent())
    return run


@pytest.fixture
def run(prepared: Run, tmp_path: Path) -> Run:
    """The prepared run with its base models, in a directory of the test's own."""
    directory = tmp_path / "run"
    directory.mkdir()
    for name in ("data", "checkpoints"):
        (directory / name).symlink_to(prepared.directory / name)
    return Run(directory, prepared.config)


@pytest.fixture
def space(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return path

    return write


def trials(run: Run, target: str = SIMPLIFIED) -> pd.DataFrame:
    return pd.read_csv(run.directory / "tune" / f"{target}.csv").drop(columns="seconds")


def checkpoints(run: Run) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in (run.directory / "checkpoints").rglob("*")
        if path.is_file()
    }


def simple_losses(run: Run, target: str, config: Config) -> Iterator[float]:
    """Stands for training: least at inner_lr_phi 1 and steps 3, a little more for later seeds."""
    for seed in config.seeds:
        yield (config.adapt.inner_lr_phi - 1) ** 2 + (config.adapt.steps - 3) ** 2 + 0.01 * seed


@pytest.fixture
def simple(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "valid_losses", simple_losses)


# What a trial's loss is


def test_the_first_trial_is_what_training_finds(
    run: Run, prepared: Run, space: Callable[[str], Path], tmp_path: Path
) -> None:
    found = tune(run, space(RATES), SIMPLIFIED, 1, Silent())
    trained = Run(tmp_path / "trained", run.config)
    trained.directory.mkdir()
    (trained.directory / "data").symlink_to(prepared.directory / "data")
    pretrain_base_models(trained, Silent())
    meta_train_selectors(trained, Silent())
    learned = trained.checkpoints.load_learned(SIMPLIFIED, 3)
    assert found.before == found.best == learned.history[learned.best_epoch]["valid_loss"]
    assert found.chosen == {"adapt.inner_lr_phi": 0.5, "adapt.steps": 2}


def test_base_models_trained_in_memory_serve_as_saved_ones_do(run: Run, prepared: Run) -> None:
    changed = change_config(run.config, {"base_models.fm.pretrain.learning_rate": 0.02})
    (in_memory,) = valid_losses(run, "metaselector", changed)
    saved = Run(run.directory.parent / "saved", changed)
    saved.directory.mkdir()
    (saved.directory / "data").symlink_to(prepared.directory / "data")
    pretrain_base_models(saved, Silent())
    meta_train_selectors(saved, Silent())
    learned = saved.checkpoints.load_learned("metaselector", 3)
    assert in_memory == learned.history[learned.best_epoch]["valid_loss"]


def test_a_base_model_is_tuned_by_its_own_loss(run: Run, space: Callable[[str], Path]) -> None:
    before = checkpoints(run)
    found = tune(run, space(FM), "fm", 3, Silent())
    made = run.checkpoints.base_record("fm", "train", 3)
    assert found.before == min(row["valid_loss"] for row in made.history)
    assert found.best == trials(run, "fm")["valid_logloss"].min() <= found.before
    assert trials(run, "fm")["valid_logloss"].nunique() == 3
    assert checkpoints(run) == before


def test_trials_replace_no_checkpoint(run: Run, space: Callable[[str], Path]) -> None:
    before = checkpoints(run)
    tune(run, space(RATES + FM), "metaselector", 2, Silent())
    assert checkpoints(run) == before


def test_missing_base_models_are_trained_and_kept(
    run: Run, prepared: Run, space: Callable[[str], Path]
) -> None:
    (run.directory / "checkpoints").unlink()
    tune(run, space(RATES), "sample-selector", 1, Silent())
    kept = {path.name for path in (run.directory / "checkpoints").rglob("*.safetensors")}
    assert kept == {f"base-{name}-{window}.safetensors" for name in ("lr", "fm") for window in
                    ("early", "train")}  # fmt: skip


def test_base_models_with_other_settings_are_not_replaced(
    run: Run, space: Callable[[str], Path]
) -> None:
    other = Run(run.directory, change_config(run.config, {"base_models.lr.pretrain.epochs": 1}))
    before = checkpoints(run)
    with pytest.raises(CheckpointError, match=r"base_models\.lr\.pretrain\.epochs was 2, now 1"):
        tune(other, space(RATES), SIMPLIFIED, 1, Silent())
    assert checkpoints(run) == before
    tune(run, space(RATES), SIMPLIFIED, 1, Silent())  # the study without a trial is no obstacle


def test_a_loss_that_is_no_number_is_infinite(run: Run) -> None:
    adapt = run.config.adapt.model_copy(update={"inner_lr_phi": float("inf")})  # no setting can be
    diverging = run.config.model_copy(update={"adapt": adapt})
    assert list(valid_losses(run, SIMPLIFIED, diverging)) == [float("inf")]


@pytest.mark.usefixtures("simple")
def test_an_infinite_loss_is_a_trial_like_any_other(
    run: Run, space: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses(run: Run, target: str, config: Config) -> Iterator[float]:
        yield 1.0 if config == run.config else float("inf")

    monkeypatch.setattr(stage, "valid_losses", losses)
    found = tune(run, space(RATES), SIMPLIFIED, 3, Silent())
    assert (found.number, found.best, found.finished) == (0, 1.0, 3)


# The search


@pytest.mark.usefixtures("simple", "global_state")
def test_the_search_finds_what_is_better(run: Run, space: Callable[[str], Path]) -> None:
    found = tune(run, space(RATES), SIMPLIFIED, 25, Silent())
    assert found.before == pytest.approx(0.25 + 1 + 0.03)
    assert found.best < 0.2
    assert found.chosen["adapt.steps"] == 3
    assert found.finished == len(trials(run)) == 25


@pytest.mark.usefixtures("simple")
def test_an_interrupted_search_ends_as_one_that_was_not(
    run: Run, space: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
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
def test_a_search_that_ended_before_its_first_trial_began(
    run: Run, space: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it is tried once, not again in place of the second trial."""
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
def test_seeds_decide_what_is_tried(run: Run, space: Callable[[str], Path]) -> None:
    other = Run(run.directory, run.config.model_copy(update={"seeds": (4,)}))
    found = []
    for one, name in ((run, "a.db"), (run, "b.db"), (other, "c.db")):
        study = run.directory / name
        stage_run = tune if one is run else _tune_without_base_models
        stage_run(one, space(RATES), SIMPLIFIED, 4, Silent(), study=study)
        found.append(list(trials(run)["adapt.inner_lr_phi"]))
    assert found[0] == found[1]
    assert found[0][0] == found[2][0] == 0.5
    assert found[0][1:] != found[2][1:]


@pytest.mark.usefixtures("simple")
def test_more_trials_than_there_are_to_do(run: Run, space: Callable[[str], Path]) -> None:
    first = tune(run, space(RATES), SIMPLIFIED, 3, Silent())
    assert tune(run, space(RATES), SIMPLIFIED, 2, Silent()) == first


@pytest.mark.usefixtures("simple")
def test_time_is_up(run: Run, space: Callable[[str], Path]) -> None:
    found = tune(run, space(RATES), SIMPLIFIED, 10, Silent(), timeout=0)
    assert (found.finished, found.before) == (1, found.best)


@pytest.mark.usefixtures("simple")
def test_settings_outside_the_space_are_still_compared_with(
    run: Run, space: Callable[[str], Path]
) -> None:
    text = "adapt.inner_lr_phi: {low: 1.0, high: 3.0}\nadapt.steps: {low: 1, high: 2}\n"
    found = tune(run, space(text), SIMPLIFIED, 2, Silent())
    assert found.before == pytest.approx(0.25 + 1 + 0.03)
    first = trials(run).iloc[0]
    assert first["adapt.steps"] == 2  # of those of the run, the one that lies in the space
    assert 1 <= first["adapt.inner_lr_phi"] <= 3


@pytest.mark.usefixtures("simple")
def test_bad_trials_are_stopped_before_the_last_seed(
    run: Run, space: Callable[[str], Path]
) -> None:
    several = Run(run.directory, run.config.model_copy(update={"seeds": (0, 1, 2)}))
    found = _tune_without_base_models(several, space(RATES), SIMPLIFIED, 30, Silent())
    table = trials(run)
    assert found.before == pytest.approx(0.25 + 1 + 0.01)
    pruned = table[table["state"] == "pruned"]
    assert len(pruned) > 3
    assert (pruned["seeds"] < 3).all()
    assert (table["seeds"][table["state"] == "complete"] == 3).all()
    assert pruned["valid_logloss"].min() > found.best


def test_settings_that_exclude_one_another(run: Run, space: Callable[[str], Path]) -> None:
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
    assert notes.texts[0].startswith(f"{refused.sum()} trials had impossible settings, such as: ")


def test_impossible_settings_of_the_run(run: Run, space: Callable[[str], Path]) -> None:
    wrong = Run(run.directory, change_config(run.config, {"adapt.granularity": "scalar"}))
    with pytest.raises(ConfigError, match="scalar shares one rate"):
        tune(wrong, space(RATES), SIMPLIFIED, 2, Silent())


def _tune_without_base_models(run: Run, *arguments: object, **options: object) -> stage.Tuned:
    """Where training is a stand-in, other seeds need none either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_pretrain_missing", lambda run, progress: None)
        return tune(run, *arguments, **options)  # type: ignore[arg-type]


# What is left


@pytest.mark.usefixtures("simple")
@pytest.mark.parametrize(
    "text", [RATES, FM, "adapt.parameters: {choices: [['*'], ['selector.*']]}\n"]
)
def test_the_chosen_settings_can_be_loaded(
    run: Run, space: Callable[[str], Path], text: str
) -> None:
    found = tune(run, space(text), SIMPLIFIED, 4, Silent())
    loaded = load_config(found.settings)
    assert loaded == change_config(run.config, found.chosen)
    assert list(loaded.base_models) == ["lr", "fm"]
    header = found.settings.read_text()
    assert f"{found.before:.6f} with the settings before" in header
    assert f"{found.best:.6f} with these" in header


@pytest.mark.usefixtures("simple")
def test_optuna_is_quiet_and_as_it_was(
    run: Run, space: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    verbosity = optuna.logging.get_verbosity()
    tune(run, space(RATES), SIMPLIFIED, 12, Silent())
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity


# Mistakes


@pytest.mark.usefixtures("simple")
@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (
            RATES.replace("3.0", "2.0"),
            {},
            r"space\.adapt\.inner_lr_phi\.attributes\.high was 3.0, now",
        ),
        (RATES + FM, {}, r"space\.base_models\.fm\.pretrain\.learning_rate was null, now "),
        (RATES, {"meta_train.query_size": 7}, r"meta_train\.query_size was 100, now 7"),
        (RATES, {"seeds": [3, 4]}, r"seeds was \[3\], now \[3, 4\]"),
    ],
)
def test_a_study_of_another_search(
    run: Run,
    space: Callable[[str], Path],
    text: str,
    changes: dict[str, object],
    message: str,
) -> None:
    tune(run, space(RATES), SIMPLIFIED, 1, Silent())
    with pytest.raises(CheckpointError, match=message) as caught:
        tune(Run(run.directory, change_config(run.config, changes)), space(text), SIMPLIFIED, 2,
             Silent())  # fmt: skip
    study = run.directory / "tune" / f"{SIMPLIFIED}.db"
    assert str(caught.value).startswith(f"{study}: a study of another search: ")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("simple")
def test_a_study_of_other_data(run: Run, space: Callable[[str], Path], tmp_path: Path) -> None:
    tune(run, space(RATES), SIMPLIFIED, 1, Silent())
    study = run.directory / "tune" / f"{SIMPLIFIED}.db"
    with sqlite3.connect(study) as opened:
        ((written,),) = opened.execute("select value_json from study_user_attributes").fetchall()
        other = json.loads(written) | {"data_sha256": "0"}
        opened.execute("update study_user_attributes set value_json = ?", [json.dumps(other)])
    opened.close()
    with pytest.raises(CheckpointError, match='data_sha256 was "0", now '):
        tune(run, space(RATES), SIMPLIFIED, 2, Silent())


@pytest.mark.usefixtures("simple")
def test_a_file_that_is_no_study(run: Run, space: Callable[[str], Path], tmp_path: Path) -> None:
    study = tmp_path / "study.db"
    study.write_text("no database\n" * 100)
    for path in (study, tmp_path, study / "inner.db"):
        with pytest.raises(UserError) as caught:
            tune(run, space(RATES), SIMPLIFIED, 1, Silent(), study=path)
        assert str(caught.value).startswith(f"{path}: cannot be used as a study (")
        assert "\n" not in str(caught.value)
    assert study.read_text() == "no database\n" * 100


@pytest.mark.usefixtures("simple")
def test_a_study_that_another_program_made(
    run: Run, space: Callable[[str], Path], tmp_path: Path
) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage, study_name=SIMPLIFIED)
    study.set_user_attr("mine", 1)
    storage.remove_session()
    storage.engine.dispose()
    with pytest.raises(CheckpointError, match="it is not ours"):
        tune(run, space(RATES), SIMPLIFIED, 1, Silent(), study=tmp_path / "study.db")


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
    run: Run, space: Callable[[str], Path], target: str, text: str, message: str
) -> None:
    path = space(text)
    with pytest.raises(ConfigError, match=message) as caught:
        tune(run, path, target, 1, Silent())
    assert str(caught.value).startswith(f"{path}: base_models" if "fm" in text else f"{path}: ")
    assert not (run.directory / "tune").exists()

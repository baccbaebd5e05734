"""The output of a search: the chosen settings, and a table of its trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pandas as pd
import yaml
from optuna.trial import TrialState

from metaselector.common.errors import UserError
from metaselector.common.files import atomic_file, write_text
from metaselector.config import Config, change_config
from metaselector.runs import environment
from metaselector.runs.run import Run
from metaselector.runs.tuning.search_space import SearchSpace


class Tuned(NamedTuple):
    """The result of a search.

    Attributes:
        before, best: mean loss on *valid* over the seeds, in nats, with the run's settings and with
            those of the best trial.
        number: number of the best trial, from 0.
        finished: number of trials so far, including those stopped early.
        chosen: the best trial's settings, by dotted name.
        settings: path of a file with these settings, for ``--config``.
        trials: path of the table of all trials.
    """

    before: float
    best: float
    number: int
    finished: int
    chosen: dict[str, Any]
    settings: Path
    trials: Path


def finished(study: optuna.Study) -> int:
    """Return the number of trials that have ended, including those stopped early."""
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return len(study.get_trials(deepcopy=False, states=states))


def write(run: Run, space: SearchSpace, target: str, study: optuna.Study) -> Tuned:
    """Write the best settings and the table of trials to the run's directory."""
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    losses = [trial.value for trial in complete if trial.value is not None]
    if not losses:
        raise UserError(
            f"{space.path}: no trial completed; narrow the space, or allow more --trials"
        )
    directory = run.directory / "tune"
    found = Tuned(
        before=study.user_attrs.get("before", losses[0]),
        best=study.best_value,
        number=study.best_trial.number,
        finished=finished(study),
        chosen=space.values(study.best_params),
        settings=directory / f"{target}.yaml",
        trials=directory / f"{target}.csv",
    )
    write_text(found.settings, _header(run, found) + _fragment(run, found.chosen))
    with atomic_file(found.trials) as temporary:
        _table(space, study).to_csv(temporary, index=False)
    return found


def _header(run: Run, found: Tuned) -> str:
    command = environment.command().replace("\n", " ")
    return (
        f"# Chosen by: {command}\n"
        f"# valid logloss, mean over seeds {', '.join(map(str, run.config.seeds))}: "
        f"{found.before:.6f} with the run's own settings,\n"
        f"# {found.best:.6f} with these, of trial {found.number}. It is the best of "
        f"{found.finished} trials, so its loss is optimistic.\n"
        "# Below are the tuned settings, and those that differ from the defaults.\n"
    )


def _fragment(run: Run, chosen: dict[str, Any]) -> str:
    """Return YAML that ``load_config`` reads as the run's settings with the chosen ones."""
    defaults = Config().model_dump(mode="json")
    settings = change_config(run.config, chosen).model_dump(mode="json")
    kept: dict[str, Any] = {}
    for section, value in settings.items():
        tuned = any(key.split(".")[0] == section for key in chosen)
        if section == "base_models":  # listing some leaves the others out
            if tuned or value != defaults[section]:
                kept[section] = value
        elif isinstance(value, dict):
            kept[section] = {
                name: one
                for name, one in value.items()
                if one != defaults[section][name] or f"{section}.{name}" in chosen
            }
        elif value != defaults[section]:
            kept[section] = value
    return yaml.safe_dump(
        {key: value for key, value in kept.items() if value != {}}, sort_keys=False
    )


def _table(space: SearchSpace, study: optuna.Study) -> pd.DataFrame:
    """Return one row per trial; the loss is the mean over the seeds it finished."""
    return pd.DataFrame(
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "valid_logloss": trial.value,
            "seeds": len(trial.intermediate_values),
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            **space.values(trial.params),
            "refused": trial.user_attrs.get("refused"),
        }
        for trial in study.trials
    )

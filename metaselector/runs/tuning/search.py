"""Search for settings with Optuna, by their loss on *valid*.

The search replaces no checkpoint of the run and reads no row of *test*.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from metaselector.common.errors import CheckpointError, ConfigError, UserError, nearest
from metaselector.common.progress import Progress
from metaselector.meta.variants import LEARNED
from metaselector.models import registry
from metaselector.models.estimators import create_estimator
from metaselector.runs.run import Run
from metaselector.runs.stages.train import pretrain_base_models
from metaselector.runs.tuning.outcome import Tuned, finished, write
from metaselector.runs.tuning.search_space import SearchSpace, load_space
from metaselector.runs.tuning.trial import NEEDED, relevant, valid_losses
from metaselector.training.checkpoint import first_difference


def tune(
    run: Run,
    space: Path,
    target: str,
    trials: int,
    progress: Progress,
    *,
    timeout: float | None = None,
    study: Path | None = None,
    allow_code: bool = False,
) -> Tuned:
    """Search until the study has `trials` trials; write the best settings and a table of trials.

    Args:
        space: path of a search space, see :func:`load_space`.
        target: variant or base model whose loss on *valid* is minimised.
        timeout: seconds after which no further trial starts.
        study: SQLite file of the study, ``<run>/tune/<target>.db`` by default; an existing study is
            continued.
        allow_code: whether choices of `space` may name Python code that the settings do not name.

    Raises:
        ConfigError: the target, the space or the settings are invalid.
        CheckpointError: the study, or a base model of the run, belongs to different settings.
    """
    targets = (*LEARNED, *run.trained_models)
    if target not in targets:
        raise ConfigError(f"--target {target}: unknown target; {nearest(target, targets)}")
    chosen_from = load_space(space, allow_code=allow_code)
    _check_space(run, chosen_from, target)
    search = _Search(run, chosen_from, target)
    path = run.directory / "tune" / f"{target}.db" if study is None else study
    with _open_study(path, target, search.fingerprint()) as opened:
        if target in LEARNED:
            _pretrain_missing(run, progress)
        search.go_on(opened, trials, timeout, progress)
        return write(run, chosen_from, target, opened)


def _check_space(run: Run, space: SearchSpace, target: str) -> None:
    """Refuse settings that cannot be tuned, and invalid values, before any trial."""
    for key, configs in space.probes(run.config).items():
        section, name, *option = [*key.split("."), ""]
        if target not in LEARNED and not _trains(run, target, section, name):
            raise space.error(key, f"changes nothing for --target {target}")
        if section == "base_models" and option[0] == "options":
            for config in configs:
                settings = config.base_models[name]
                try:
                    if settings.estimator is None:
                        registry.build_base_model(
                            settings.model or name,
                            run.dataset.schema,
                            settings.options,
                            0,
                            called=name,
                        )
                    else:
                        create_estimator(name, settings, 0)
                except ConfigError as error:
                    raise ConfigError(f"{space.path}: {error}") from error
                except (TypeError, ValueError, RuntimeError) as error:
                    raise space.error(key, f"base model '{name}' refuses it ({error})") from error


def _trains(run: Run, target: str, section: str, name: str) -> bool:
    """Return whether a setting changes the training of a base model: its own, or its peers'."""
    taught = run.config.taught
    if target not in taught:
        return (section, name) == ("base_models", target)
    return section == "peer_learning" or (section == "base_models" and name in taught)


def _pretrain_missing(run: Run, progress: Progress) -> None:
    """Train and save the base models that the run lacks.

    Raises:
        CheckpointError: the run has one that is damaged or was trained with different settings.
    """
    for seed, name, window in product(run.config.seeds, run.trained_models, NEEDED):
        path, _ = run.checkpoints.base_file(name, window, seed)
        if path.exists():
            run.checkpoints.base_tensors(name, window, seed)
    pretrain_base_models(run, progress, NEEDED)


@contextmanager
def _open_study(path: Path, name: str, fingerprint: dict[str, Any]) -> Iterator[optuna.Study]:
    """Open a study in an SQLite file, creating both if needed."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            pruner=optuna.pruners.MedianPruner(),
            load_if_exists=True,
        )
        if not study.trials and study.user_attrs.keys() <= {"fingerprint"}:
            study.set_user_attr("fingerprint", fingerprint)
        made_with = study.user_attrs.get("fingerprint")
        difference = (
            first_difference(made_with, fingerprint) if made_with else "another program made it"
        )
        if difference:
            raise CheckpointError(
                f"{path}: belongs to another search: {difference}; use the same settings, choose "
                "another --study file, or remove this one"
            )
        yield study
    except (OSError, SQLAlchemyError, OptunaError) as error:
        problem = str(error.__cause__ or error).splitlines()[0]
        raise UserError(
            f"{path}: not usable as a study ({problem}); choose another --study file"
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


@dataclass(frozen=True)
class _Search:
    """Runs the trials of one target in one search space."""

    run: Run
    space: SearchSpace
    target: str

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that a trial's loss depends on, as JSON."""
        sections = {"seeds", "protocol", "split", "cold", "base_models"}
        if self.target in LEARNED:
            sections |= {"selector", "adapt", "meta_train"}
        settings = relevant(self.run.config, self.target).model_dump(
            mode="json",
            include=sections,
            exclude={"adapt": {"engine", "max_users_per_chunk"}},  # without effect on the loss
        )
        return settings | {
            "data_sha256": self.run.dataset.digest(),
            "space": self.space.described(),
            "target": self.target,
        }

    def go_on(
        self, study: optuna.Study, trials: int, timeout: float | None, progress: Progress
    ) -> None:
        """Run the remaining trials; the first one tries the run's own settings.

        Each trial's sampler is seeded by the number of finished trials, so that interrupting a
        study does not change its outcome.
        """
        started = time.monotonic()
        seed = self.run.config.seeds[0]
        with progress.task(f"tune {self.target}", trials) as advance:
            for _ in range(min(finished(study), trials)):
                advance()
            while (number := finished(study)) < trials:
                if not number:
                    self._begin(study)
                elif timeout is not None and time.monotonic() - started >= timeout:
                    break
                drawn = np.random.SeedSequence([seed, number]).generate_state(1)
                # No constant liar: a killed trial counts as running forever.
                study.sampler = optuna.samplers.TPESampler(seed=int(drawn[0]), constant_liar=False)
                self._try(study, study.ask(self.space.distributions))
                advance()
        refused = [t.user_attrs["refused"] for t in study.trials if "refused" in t.user_attrs]
        if refused:
            progress.note(f"{len(refused)} trials had invalid settings, for example: {refused[0]}")

    def _begin(self, study: optuna.Study) -> None:
        """Queue the run's settings as the first trial, and record their loss in any case."""
        current = self.space.current(self.run.config)
        if len(current) < len(self.space.distributions) and "before" not in study.user_attrs:
            losses = list(valid_losses(self.run, self.target, self.run.config))
            study.set_user_attr("before", float(np.mean(losses)))
        # A waiting trial was queued by a process that was killed before it ran the trial.
        if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.enqueue_trial(current)

    def _try(self, study: optuna.Study, trial: optuna.Trial) -> None:
        """Run one trial over all seeds; stop early if most others had done better by then."""
        config, losses = None, list[float]()
        try:
            config = self.space.change(self.run.config, self.space.values(trial.params))
            for loss in valid_losses(self.run, self.target, config):
                losses.append(loss)
                trial.report(float(np.mean(losses)), step=len(losses))
                if len(losses) < len(config.seeds) and trial.should_prune():
                    study.tell(trial, state=TrialState.PRUNED)
                    return
            study.tell(trial, float(np.mean(losses)))
        except BaseException as error:
            # Some settings exclude each other, which fails this trial only.
            if isinstance(error, ConfigError) and config != self.run.config:
                trial.set_user_attr("refused", str(error))
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, state=TrialState.FAIL)
                raise

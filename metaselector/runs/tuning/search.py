"""Choose settings by the loss on *valid*, with Optuna.

Nothing that the run has trained is replaced, and no row of *test* is read.
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
    """Search until the study has `trials` trials, and write the best settings and all trials.

    Args:
        space: a file that :func:`load_space` reads.
        target: the variant, or the base model, whose loss on *valid* is minimised.
        timeout: seconds after which no further trial starts.
        study: SQLite file that the study is kept in, ``<run>/tune/<target>.db`` by default; one
            that exists is continued.
        allow_code: whether choices of `space` may name Python code that the settings do not.

    Raises:
        ConfigError: target, space or settings are impossible.
        CheckpointError: the study, or a base model of the run, was made with other settings.
    """
    targets = (*LEARNED, *run.trained_models)
    if target not in targets:
        raise ConfigError(f"--target {target}: there is no such target; {nearest(target, targets)}")
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
    """Refuse, before any trial, what cannot be tuned or is no value of its setting."""
    for key, configs in space.probes(run.config).items():
        section, name, *option = [*key.split("."), ""]
        if target not in LEARNED and not _trains(run, target, section, name):
            raise space.error(key, f"changes nothing for --target {target}")
        if section == "base_models" and option[0] == "options":
            for config in configs:
                settings = config.base_models[name]
                try:
                    if settings.estimator is None:
                        registry.create_for(name, settings, run.dataset.schema, 0)
                    else:
                        create_estimator(name, settings, 0)
                except ConfigError as error:
                    raise ConfigError(f"{space.path}: {error}") from error
                except (TypeError, ValueError, RuntimeError) as error:
                    raise space.error(key, f"base model '{name}' refuses it ({error})") from error


def _trains(run: Run, target: str, section: str, name: str) -> bool:
    """Whether a setting changes how a base model is trained: it is its own, or its teachers'."""
    taught = run.config.taught
    if target not in taught:
        return (section, name) == ("base_models", target)
    return section == "peer_learning" or (section == "base_models" and name in taught)


def _pretrain_missing(run: Run, progress: Progress) -> None:
    """Train and keep base models that the run has not; one with other settings is not replaced."""
    for seed, name, window in product(run.config.seeds, run.trained_models, NEEDED):
        path, _ = run.checkpoints.base_file(name, window, seed)
        if path.exists():
            run.checkpoints.base_tensors(name, window, seed)  # refuses one with other settings
    pretrain_base_models(run, progress, NEEDED)


@contextmanager
def _open_study(path: Path, name: str, fingerprint: dict[str, Any]) -> Iterator[optuna.Study]:
    """The study of that name in an SQLite file; both are made if need be."""
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
        difference = first_difference(made_with, fingerprint) if made_with else "it is not ours"
        if difference:
            raise CheckpointError(
                f"{path}: a study of another search: {difference}; use what it was made with, "
                "another --study file, or remove this one"
            )
        yield study
    except (OSError, SQLAlchemyError, OptunaError) as error:
        problem = str(error.__cause__ or error).splitlines()[0]
        raise UserError(
            f"{path}: cannot be used as a study ({problem}); choose another --study file"
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


@dataclass(frozen=True)
class _Search:
    """The trials of one target in one space."""

    run: Run
    space: SearchSpace
    target: str

    def fingerprint(self) -> dict[str, Any]:
        """All that a trial's loss depends on, as JSON has it."""
        sections = {"seeds", "protocol", "split", "cold", "base_models"}
        if self.target in LEARNED:
            sections |= {"selector", "adapt", "meta_train"}
        settings = relevant(self.run.config, self.target).model_dump(
            mode="json",
            include=sections,
            exclude={"adapt": {"engine", "max_users_per_chunk"}},  # which change nothing
        )
        return settings | {
            "data_sha256": self.run.dataset.digest(),
            "space": self.space.described(),
            "target": self.target,
        }

    def go_on(
        self, study: optuna.Study, trials: int, timeout: float | None, progress: Progress
    ) -> None:
        """Run the trials that are missing; the first one has the run's settings.

        A trial's sampler is seeded by how many are finished, so that a study that was interrupted
        ends as one that was not.
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
                # A trial that was killed counts as running for ever: no constant liar.
                study.sampler = optuna.samplers.TPESampler(seed=int(drawn[0]), constant_liar=False)
                self._try(study, study.ask(self.space.distributions))
                advance()
        refused = [t.user_attrs["refused"] for t in study.trials if "refused" in t.user_attrs]
        if refused:
            progress.note(f"{len(refused)} trials had impossible settings, such as: {refused[0]}")

    def _begin(self, study: optuna.Study) -> None:
        """Let the first trial have the run's settings; what they lose is known in any case."""
        current = self.space.current(self.run.config)
        if len(current) < len(self.space.distributions) and "before" not in study.user_attrs:
            losses = list(valid_losses(self.run, self.target, self.run.config))
            study.set_user_attr("before", float(np.mean(losses)))
        # One that is waiting was left by a process that was killed before it began the trial.
        if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.enqueue_trial(current)

    def _try(self, study: optuna.Study, trial: optuna.Trial) -> None:
        """Run one trial, over all seeds unless it is worse than most others were by then."""
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
            # Some settings exclude one another; such a trial is bad, but only such a trial.
            if isinstance(error, ConfigError) and config != self.run.config:
                trial.set_user_attr("refused", str(error))
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, state=TrialState.FAIL)
                raise

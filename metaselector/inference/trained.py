"""A trained MetaSelector that needs no training data, to predict rows that come later."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, RLock
from typing import Any, NamedTuple, Self, get_args
from weakref import WeakKeyDictionary

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from metaselector import __version__
from metaselector.common.errors import (
    CandidateWarning,
    CheckpointError,
    ConfigError,
    DamagedError,
    DataError,
    UserError,
    nearest,
)
from metaselector.common.files import atomic_directory
from metaselector.config import Config, load_config
from metaselector.config.plugins.from_file import is_in_file
from metaselector.config.plugins.registry import identity
from metaselector.data.encoded.digests import add_digests, check_digests
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_rows import RawRows
from metaselector.data.preparation.late_support import late_support
from metaselector.data.preparation.new_rows import NewRows, encode_rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.parameters import in_parts
from metaselector.meta.variants import Variant, check_rates, make_adaptation
from metaselector.models import registry
from metaselector.models.build import make_mixture
from metaselector.models.mixture import Mixture
from metaselector.runs.environment import check_device
from metaselector.runs.run import Run
from metaselector.training.checkpoint import read_checkpoint, save_checkpoint
from metaselector.training.peer_learning.views import viewed
from metaselector.training.tensors import Room, TooLarge, unfit

STATE = "state.json"
MODEL = "model.safetensors"
_FORMAT = 3
"""Of what is written and read. Earlier ones lack the digests that damage is found by."""
SETTINGS = "config.yaml"
_FILES = (STATE, MODEL, SETTINGS)
_AGAIN = "save the model again"
_LOCKS: WeakKeyDictionary[Mixture, RLock] = WeakKeyDictionary()
_MAKING = Lock()


class UserPredictions(NamedTuple):
    """What is predicted of rows.

    Attributes:
        probabilities: float64 ``[n]``, or ``[n, T]`` of several tasks.
        weights: float32 ``[n, K]`` or ``[n, K, T]``.
    """

    probabilities: NDArray[np.float64]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class TrainedModel:
    """What predicts, in one thread at a time: see :attr:`lock`.

    Attributes:
        known: the data's schema, and what is known of users and items.
        config: settings it was trained with.
        variant: which row of the results table it is.
        seed: it was trained with.
        mixture: the base models of *train* and *valid* under the learned selector.
        alpha: inner learning rates.
        most_support: how many of their latest rows a user adapts on at most; None is as trained.
    """

    encoder: FittedEncoder
    config: Config
    variant: Variant
    seed: int
    mixture: Mixture
    alpha: dict[str, Tensor]
    most_support: int | None = None

    @classmethod
    def of_run(cls, run: Run, variant: Variant = "metaselector", seed: int | None = None) -> Self:
        """What a run has trained; by default with the first of its seeds.

        Raises:
            ConfigError: there is no such variant or seed.
            CheckpointError: it is missing, or was trained with other settings.
            UserError: a base model is a column of scores, or an estimator.
            DataError: the run's data were prepared by a version that did not keep what is needed.
        """
        seed = run.config.seeds[0] if seed is None else seed
        if seed not in run.config.seeds:
            seeds = ", ".join(map(str, run.config.seeds))
            raise ConfigError(f"{run.directory}: has no seed {seed}; its seeds are {seeds}")
        if variant not in get_args(Variant):
            raise ConfigError(f"unknown variant '{variant}'; {nearest(variant, get_args(Variant))}")
        if run.scored:
            name = run.scored[0]
            what = (
                "an estimator, of which a run keeps only the scores of its own rows"
                if run.config.base_models[name].estimator
                else "a column of scores, which new rows have not"
            )
            raise UserError(
                f"{run.directory}: base model '{name}' is {what}; leave it out to predict new rows"
            )
        encoder = FittedEncoder.load(run.data_directory)
        learned = run.load_learned(variant, seed)
        mixture = learned.attach(run.load_mixture("full", seed))
        trained = cls(encoder, run.config, variant, seed, mixture, learned.alpha)
        check_rates(learned.alpha, trained.adaptation, mixture, run.directory)
        return trained

    @property
    def lock(self) -> RLock:
        """Whoever runs the base models or the selector holds it, so that others wait.

        While they adapt, torch puts each user's parameters in the place of the modules' own. Also,
        pandas builds an index of the known users and items when it is first asked. Models with
        the same modules share a lock; it is kept beside them, so that they can be copied.
        """
        with _MAKING:
            return _LOCKS.setdefault(self.mixture, RLock())

    @property
    def base_models(self) -> list[str]:
        """Names of the K base models, in order."""
        return list(self.mixture.base_models)

    @property
    def support_size(self) -> int:
        """How many of their latest rows a user adapts on at most."""
        if self.most_support is not None:
            return self.most_support
        if self.config.protocol == "cold":
            return self.config.cold.support_sizes[-1]
        return self.config.adapt.support_size

    @property
    def adaptation(self) -> Adaptation:
        """What the inner loop does."""
        return make_adaptation(self.variant, self.mixture, self.config.adapt)

    @property
    def adapted(self) -> AdaptedModel:
        """The mixture that adapts to users; hold :attr:`lock` while it runs."""
        tasks, config = self.encoder.schema.tasks, self.config.adapt
        return AdaptedModel.of_settings(self.mixture, self.alpha, self.adaptation, tasks, config)

    def encode(self, history: RawRows, candidates: RawRows) -> NewRows:
        """New rows as the models see them; raises as :func:`encode_rows`."""
        with self.lock:
            return encode_rows(self.encoder, history, candidates)

    def predict(self, history: RawRows, candidates: RawRows) -> UserPredictions:
        """Adapt each user who has candidates on their `history`, then predict their `candidates`.

        Users without history are predicted with what all users start from.

        Returns:
            in the order of `candidates`.

        Raises:
            DataError: as :func:`encode_rows`.

        Warns:
            CandidateWarning: candidates are older than their user's support, or in it.
        """
        if not len(candidates):
            candidates.require(self.encoder, labelled=False)
            if len(history):
                self.encode(history, candidates)  # a wrong value in it is an error still
            of_task = (
                () if len(self.encoder.schema.tasks) == 1 else (len(self.encoder.schema.tasks),)
            )
            weights = np.zeros((0, len(self.base_models), *of_task), dtype=np.float32)
            return UserPredictions(np.zeros((0, *of_task)), weights)
        rows = self.encode(history, candidates)
        episodes = rows.episodes(self.support_size)
        if not self.encoder.rows.tabular:  # whose rows have no item and no time
            for doubt in late_support(rows, episodes):
                warnings.warn(f"{candidates.source}: {doubt}", CandidateWarning, stacklevel=3)
        with self.lock:
            found = self.adapted.predict(rows.dataset, episodes)
        place = np.searchsorted(found.rows, rows.candidates)
        return UserPredictions(found.probabilities[place], found.weights[place])

    def save(self, directory: Path) -> None:
        """Write all of it to a directory, which appears complete or not at all."""
        tensors = {f"mixture/{name}": t for name, t in self.mixture.state_dict().items()}
        tensors |= {f"alpha/{name}": t for name, t in self.alpha.items()}
        state = {
            "format": _FORMAT,
            "metaselector": __version__,
            "variant": self.variant,
            "seed": self.seed,
            "files": _in_files(self.config),
        }
        with atomic_directory(directory) as target:
            settings = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
            (target / SETTINGS).write_text(settings, encoding="utf-8")
            (target / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
            (target / "data").mkdir()
            self.encoder.save(target / "data")
            copies = {name: t.detach().cpu().clone() for name, t in tensors.items()}
            save_checkpoint(target / MODEL, copies, {}, {})
            add_digests(target, _FILES)

    @classmethod
    def load(
        cls, directory: Path, changes: Mapping[str, Any] = {}, *, allow_code: bool = False
    ) -> Self:
        """Read what :meth:`save` wrote.

        Args:
            changes: of the settings that change no number: ``device``, ``threads``.
            allow_code: whether its settings may name Python code, which then runs.

        Raises:
            CheckpointError: it is missing or damaged, or a class in a file is not as it was.
            ConfigError: one of its base models is not there, as a plug-in that is not installed, or
                it names code that may not run.
        """
        try:
            state = _State.read(directory / STATE)
            if state.format == _FORMAT:
                check_digests(directory, _FILES)
                tensors = read_checkpoint(directory / MODEL).tensors
        except (OSError, ValueError, DataError, DamagedError) as error:
            raise _damaged(directory, error) from error
        if state.format != _FORMAT:
            raise CheckpointError(
                f"{directory}: has format {state.format}, this version reads format {_FORMAT}; "
                f"use the version of MetaSelector that saved it, or {_AGAIN}"
            )
        config = load_config(directory / SETTINGS, changes=changes, allow_code=allow_code)
        check_device(config.device)
        now = _in_files(config)
        for key, said in state.files.items():
            if said != now.get(key):
                raise CheckpointError(
                    f"{directory}: {key}: the file has changed since the model was saved; bring "
                    f"back the one it was saved with, or {_AGAIN}"
                )
        encoder = FittedEncoder.load(directory / "data")
        try:
            of_mixture, alpha = in_parts(tensors, ("mixture", "alpha"), config.device)
        except ValueError as error:
            raise _damaged(directory, error) from error
        try:
            with Room(of_mixture):
                mixture = _untrained(encoder, config, state.seed)
            problem = unfit(of_mixture, mixture)
        except TooLarge as error:
            problem = str(error)
        if problem:  # or a plug-in's class has changed under the same options
            raise CheckpointError(
                f"{directory}: its tensors do not fit its base models and selector: {problem}; "
                f"{_AGAIN}"
            )
        mixture.load_state_dict(of_mixture)
        trained = cls(encoder, config, state.variant, state.seed, mixture, alpha)
        check_rates(alpha, trained.adaptation, mixture, directory)
        return trained


class _State(BaseModel):
    """What is said of a saved model beside its settings."""

    model_config = ConfigDict(strict=True)

    format: int
    variant: Variant
    seed: int = Field(ge=0)
    files: dict[str, str] = {}  # older ones have none

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises :class:`ValueError`, in one line, or :class:`OSError`."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{path.name}: {where}: {first['msg']}") from error


def _damaged(directory: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{directory}: no saved model, or a damaged one ({error}); {_AGAIN}")


def _untrained(encoder: FittedEncoder, config: Config, seed: int) -> Mixture:
    """The base models and the selector of the settings, before anything was learned."""
    models = {
        name: viewed(
            registry.create_for(name, settings, encoder.schema, seed), name, config, encoder.schema
        )
        for name, settings in config.base_models.items()
    }
    return make_mixture(models, encoder, config, seed)


def _in_files(config: Config) -> dict[str, str]:
    """What the settings name in files, and what those files say now."""
    named = {f"base_models.{name}.model": m.model for name, m in config.base_models.items()}
    named |= {"selector.kind": config.selector.kind, "adapt.rule": config.adapt.rule}
    return {key: identity(name) for key, name in named.items() if name and is_in_file(name)}


def open_trained(
    directory: Path,
    seed: int | None = None,
    changes: Mapping[str, Any] = {},
    before: Callable[[Config], None] = lambda config: None,
    *,
    allow_code: bool = False,
) -> tuple[TrainedModel, Run | None]:
    """What is in a directory: a saved model, or a run, which is returned too.

    Args:
        seed: of a run with several; of a saved model the one it has.
        changes: as for :meth:`TrainedModel.load`.
        before: called with the settings before anything is put on the device.
        allow_code: as for :meth:`TrainedModel.load`.

    Raises:
        UserError: nothing is there, it has not that seed, or something is missing or damaged.
    """
    saved = directory / SETTINGS
    if not saved.exists():
        raise UserError(f"{directory}: holds neither a saved model nor a run; correct the path")
    config = load_config(saved, changes=changes, allow_code=allow_code)
    before(config)
    if not (directory / STATE).exists():
        run = Run(directory, config)
        return TrainedModel.of_run(run, seed=seed), run
    trained = TrainedModel.load(directory, changes, allow_code=allow_code)
    if seed not in (None, trained.seed):
        raise ConfigError(f"{directory}: has no seed {seed}; it was saved with seed {trained.seed}")
    return trained, None

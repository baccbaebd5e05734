"""A trained MetaSelector, which predicts new rows without the training data."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, RLock
from typing import Any, NamedTuple, Self, get_args
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import (
    CandidateWarning,
    ConfigError,
    UserError,
    nearest,
)
from metaselector.config import Config, load_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.late_support import LateSupport, late_support
from metaselector.data.preparation.new_rows import NewRows, encode_rows
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.evaluate.row_features import row_table
from metaselector.inference.saved_model import SETTINGS, STATE, SavedModel, load_model, save_model
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.finetune import alpha_of
from metaselector.meta.memory import Memory
from metaselector.meta.variants import Variant, check_rates, make_adaptation
from metaselector.models.kept_estimators import FittedEstimator, cannot_keep
from metaselector.models.mixture import Mixture
from metaselector.models.precomputed import kept_in
from metaselector.models.score_files import to_logits
from metaselector.runs.run import Run

_LOCKS: WeakKeyDictionary[Mixture, RLock] = WeakKeyDictionary()
_MAKING = Lock()


class UserPredictions(NamedTuple):
    """Predictions of rows.

    Attributes:
        probabilities: float64 ``[n]``, or ``[n, T]`` with several tasks.
        weights: float32 ``[n, K]`` or ``[n, K, T]``.
    """

    probabilities: NDArray[np.float64]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class TrainedModel(SavedModel):
    """Everything that prediction needs. One thread at a time may use it; see :attr:`lock`.

    Attributes:
        most_support: the largest number of most recent rows to adapt on; None: as in training.
        steps: the number of inner steps; None: as in training.
    """

    most_support: int | None = None
    steps: int | None = None

    @classmethod
    def of_run(cls, run: Run, variant: Variant = "metaselector", seed: int | None = None) -> Self:
        """Load what a run has trained; by default with the first of its seeds.

        Raises:
            ConfigError: there is no such variant or seed.
            CheckpointError: a part is missing, or was trained with different settings.
            UserError: a base model is a column of scores, or an estimator that was not kept.
            DataError: an earlier version prepared the run's data and did not keep the encoder.
        """
        seed = run.config.seeds[0] if seed is None else seed
        if seed not in run.config.seeds:
            seeds = ", ".join(map(str, run.config.seeds))
            raise ConfigError(f"{run.directory}: has no seed {seed}; its seeds are {seeds}")
        if variant not in get_args(Variant):
            raise ConfigError(f"unknown variant '{variant}'; {nearest(variant, get_args(Variant))}")
        estimators = {name: _estimator_of(run, name, seed) for name in run.scored}
        encoder = FittedEncoder.load(run.data_directory)
        learned = run.checkpoints.load_learned(variant, seed)
        # Of a rival's choices for new users, those for the largest support.
        alpha = alpha_of(learned.alpha, run.protocol.evaluation_splits[-1])
        mixture = learned.attach(run.checkpoints.load_mixture("full", seed))
        trained = cls(encoder, run.config, variant, seed, mixture, alpha, estimators)
        check_rates(alpha, trained.adaptation, mixture, run.directory)
        return trained

    @property
    def lock(self) -> RLock:
        """Hold this lock while the base models or the selector run.

        While they adapt, torch replaces the modules' parameters by those of each user. Also,
        pandas builds its index of the known users and items at the first look-up. Models that
        share modules share a lock; it is kept outside of them, so that they can be copied.
        """
        with _MAKING:
            return _LOCKS.setdefault(self.mixture, RLock())

    @property
    def base_models(self) -> list[str]:
        """Names of the K base models, in order."""
        return list(self.mixture.base_models)

    @property
    def support_size(self) -> int:
        """The largest number of most recent rows to adapt on."""
        if self.most_support is not None:
            return self.most_support
        if self.config.protocol == "cold":
            return self.config.cold.support_sizes[-1]
        return self.config.adapt.support_size

    @property
    def adaptation(self) -> Adaptation:
        """The settings of the inner loop."""
        return make_adaptation(self.variant, self.mixture, self.config, self.alpha)

    @property
    def adapted(self) -> AdaptedModel:
        """The mixture that adapts to users; hold :attr:`lock` while it runs."""
        tasks, config = self.encoder.schema.tasks, self.config.adapt
        adaptation = self.adaptation
        if self.steps is not None:
            adaptation = adaptation.with_steps(self.steps)
        return AdaptedModel.of_settings(self.mixture, self.alpha, adaptation, tasks, config)

    def encode(self, history: RawRows, candidates: RawRows) -> NewRows:
        """Encode new rows as the models see them; raises as :func:`encode_rows`."""
        with self.lock:
            rows = encode_rows(self.encoder, history, candidates)
            return rows._replace(dataset=self._scored(rows.dataset)) if self.estimators else rows

    def _scored(self, dataset: EncodedDataset) -> EncodedDataset:
        """The rows with the logits of the estimators, in the slots that the mixture reads."""
        slots = dataset.schema.num_slots
        models: Mapping[str, Any] = dict(self.mixture.base_models.items())
        columns = {name: models[name].slot - slots for name in self.estimators}
        scores = np.full((len(dataset), max(columns.values()) + 1), np.nan, dtype=np.float32)
        table, _ = row_table(dataset, np.arange(len(dataset)))
        for name, column in columns.items():
            scores[:, column] = to_logits(self.estimators[name].probabilities(table))
        return replace(dataset, scores=scores)

    def predict(
        self, history: RawRows, candidates: RawRows, memory: Memory | None = None
    ) -> UserPredictions:
        """Adapt to each user with candidates on their `history`, then predict their `candidates`.

        Users without history are predicted with the initial parameters.

        Args:
            memory: what users have adapted to in earlier calls; without it, nothing is kept.

        Returns:
            predictions in the order of `candidates`.

        Raises:
            DataError: as :func:`encode_rows`.

        Warns:
            CandidateWarning: candidates are older than their user's support, or part of it.
        """
        found, late = self.predict_quietly(history, candidates, memory)
        for doubt in late:
            warnings.warn(f"{candidates.source}: {doubt}", CandidateWarning, stacklevel=3)
        return found

    def predict_quietly(
        self, history: RawRows, candidates: RawRows, memory: Memory | None = None
    ) -> tuple[UserPredictions, LateSupport]:
        """Predict as :meth:`predict`, which see, and count what it warns of."""
        tabular = self.encoder.rows.tabular  # whose rows have no item and no time
        if not len(candidates):
            candidates.require(self.encoder, labelled=False)
            late = LateSupport()
            if len(history):
                rows = self.encode(history, candidates)  # raises if a value in it is wrong
                late = late if tabular else late_support(rows)
            tasks = len(self.encoder.schema.tasks)
            of_task = () if tasks == 1 else (tasks,)
            weights = np.zeros((0, len(self.base_models), *of_task), dtype=np.float32)
            return UserPredictions(np.zeros((0, *of_task)), weights), late
        rows = self.encode(history, candidates)
        episodes = rows.episodes(self.support_size)
        late = LateSupport() if tabular else late_support(rows, episodes)
        with self.lock:
            found = self.adapted.predict(rows.dataset, episodes, memory)
        place = np.searchsorted(found.rows, rows.candidates)
        return UserPredictions(found.probabilities[place], found.weights[place]), late

    def save(self, directory: Path) -> None:
        """Write the model to a directory, which appears complete or not at all.

        Raises:
            ConfigError: a similarity of rows cannot be saved.
        """
        save_model(directory, self)

    @classmethod
    def load(
        cls, directory: Path, changes: Mapping[str, Any] = {}, *, allow_code: bool = False
    ) -> Self:
        """Read what :meth:`save` wrote; arguments and errors as for :func:`load_model`."""
        trained = cls(**vars(load_model(directory, changes, allow_code=allow_code)))
        check_rates(trained.alpha, trained.adaptation, trained.mixture, directory)
        return trained


def _estimator_of(run: Run, name: str, seed: int) -> FittedEstimator:
    named = run.config.base_models[name].estimator
    if named is None:
        raise UserError(
            f"{run.directory}: base model '{name}' is a column of scores, which new rows lack; "
            "leave it out to predict new rows"
        )
    tensors, _ = run.checkpoints.base_tensors(name, "full", seed)
    kept = kept_in(tensors)
    if kept is None:
        path, _ = run.checkpoints.base_file(name, "full", seed)
        raise UserError(
            f"{path}: holds only the scores of estimator '{name}' for the run's own rows; to "
            f"predict new rows, {cannot_keep(named)}"
        )
    return FittedEstimator(kept, named, name)


def open_trained(
    directory: Path,
    seed: int | None = None,
    changes: Mapping[str, Any] = {},
    before: Callable[[Config], None] = lambda config: None,
    *,
    allow_code: bool = False,
) -> tuple[TrainedModel, Run | None]:
    """Open a directory that holds a saved model or a run; the run is returned too.

    Args:
        seed: which seed of a run; for a saved model, it must be the model's own.
        changes: as for :meth:`TrainedModel.load`.
        before: called with the settings before anything moves to the device.
        allow_code: as for :meth:`TrainedModel.load`.

    Raises:
        UserError: nothing is there, the seed does not exist, or a part is missing or damaged.
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

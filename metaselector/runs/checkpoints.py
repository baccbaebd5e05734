"""The trained parts of a run, base models and what meta-training learned: saved and found again.

Base models lie in the directory whose prepared data they were trained on, so that runs which differ
only in meta-training share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.common.errors import CheckpointError, DamagedError
from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.protocol import WINDOWS, EvaluationSplit, Window
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.finetune import alpha_of
from metaselector.meta.parameters import LearnedRecord, MetaParameters
from metaselector.meta.variants import Variant, check_rates, make_adaptation, variants_of
from metaselector.models.mixture import Mixture
from metaselector.models.precomputed import Scored, scores_column
from metaselector.runs.checkpoint_settings import CheckpointSettings
from metaselector.runs.checkpoint_store import CheckpointStore
from metaselector.runs.new_models import NewModels
from metaselector.runs.run_similarity import LateSimilarities
from metaselector.training.checkpoint import checkpoint_path
from metaselector.training.loop.snapshot_manager import SnapshotManager
from metaselector.training.pretrain import Pretrained
from metaselector.training.tensors import Room, TooLarge, misfit, nonfinite, unfit
from metaselector.training.transfer import (
    TRANSFER_FILE,
    Transferred,
    TransferSource,
    source_rows,
    transfer,
)


@dataclass(frozen=True)
class Checkpoints:
    """Saves and finds the trained parts of one run.

    A checkpoint records the settings it depends on. Whatever reads one raises a
    :class:`~metaselector.common.errors.CheckpointError` if it is missing or damaged, or was trained
    with different settings.

    Attributes:
        directory: of the run; what meta-training learned lies in it.
        base_directory: where base models lie.
        config: the run's settings.
        dataset: the run's prepared data.
        source: the run that base models start from, if any.
        store: reads and writes the checkpoints.
        new: builds untrained models.
    """

    directory: Path
    base_directory: Path
    config: Config
    dataset: EncodedDataset
    source: TransferSource | None
    store: CheckpointStore
    new: NewModels
    _similarities: LateSimilarities = field(default_factory=LateSimilarities, repr=False)

    def new_base(self, name: str, seed: int) -> nn.Module:
        """Return an untrained base model on the run's device."""
        return self.new.base(name, seed)

    def start_base(
        self, name: str, window: Window, seed: int
    ) -> tuple[nn.Module, list[Transferred]]:
        """Return a base model as its training begins, and what it took from the source.

        Without a source, that is an untrained one, and nothing.
        """
        model = self.new_base(name, seed)
        if self.source is None:
            return model, []
        theirs = self.source.dataset.schema
        tensors = self.source.tensors(name, window, seed)
        rows = source_rows(theirs, self.dataset.schema)
        return model, transfer(model, tensors, rows, theirs.num_ids)

    def save_base(
        self,
        name: str,
        window: Window,
        seed: int,
        model: nn.Module,
        made: Pretrained,
        transferred: Sequence[Transferred] = (),
    ) -> None:
        """Save a trained base model, and add to ``transfer.csv`` what it took from the source."""
        if transferred:
            key = {"seed": seed, "model": name, "window": window}
            lines = [line._asdict() for line in transferred]
            self.store.save_lines(self.directory / TRANSFER_FILE, key, lines)
        path, settings = self.base_file(name, window, seed)
        self.store.save(path, model.state_dict(), settings, made._asdict())

    def has_base(self, name: str, window: Window, seed: int) -> bool:
        """Return whether an intact checkpoint with the run's settings exists."""
        return self.store.matches(*self.base_file(name, window, seed))

    def load_base(self, name: str, window: Window, seed: int) -> nn.Module:
        """Return a trained base model on the run's device, in evaluation mode.

        A precomputed one reads its scores from the data; :meth:`fill_scores` puts those of an
        estimator there.
        """
        if self.config.base_models[name].gives_scores:
            column = self._scores_column(name, window, seed)
            return Scored(self.dataset.schema.num_slots + column).eval()
        tensors, _ = self.base_tensors(name, window, seed)
        try:
            with Room(tensors):
                model = self.new.base(name, seed, draw=False)
            problem = unfit(tensors, model)
        except TooLarge as error:
            problem = str(error)
        if problem:  # or the plug-in's class has changed under the same options
            path, _ = self.base_file(name, window, seed)
            raise CheckpointError(
                f"{path}: its tensors do not fit base model '{name}': {problem}; train it again"
            )
        model.load_state_dict(tensors)
        return model.eval()

    def base_record(self, name: str, window: Window, seed: int) -> Pretrained:
        """Return how the training of a base model went, without building the model."""
        if self.config.base_models[name].scores is not None:
            return Pretrained(0, [], 0.0)
        path, settings = self.base_file(name, window, seed)
        return _pretrained(path, self.store.record(path, settings))

    def base_tensors(
        self, name: str, window: Window, seed: int
    ) -> tuple[dict[str, Tensor], Pretrained]:
        """Return what :meth:`save_base` saved of a base model."""
        path, settings = self.base_file(name, window, seed)
        tensors, record = self.store.load(path, settings)
        return tensors, _pretrained(path, record)

    def base_snapshots(self, name: str, window: Window, seed: int) -> SnapshotManager:
        """Return where the training of a base model keeps its snapshots."""
        return self._snapshots(*self.base_file(name, window, seed))

    def taught_snapshots(self, window: Window, seed: int) -> SnapshotManager:
        """Return where base models that teach each other keep the snapshots of their training."""
        path, settings = self.base_file(self.config.taught[0], window, seed)
        return self._snapshots(path.with_stem(f"base-taught-{window}"), settings)

    def base_file(self, name: str, window: Window, seed: int) -> tuple[Path, dict[str, Any]]:
        """Return the path of a base model's checkpoint, and the settings it depends on."""
        path = checkpoint_path(self.base_directory, seed, f"base-{name}-{window}")
        return path, self._settings.base(name, window, seed)

    def fill_scores(self, window: Window, seed: int) -> None:
        """Write the scores of estimators into their columns of the data set, in place.

        Until then these columns are nan.

        Raises:
            CheckpointError: the scores of an estimator are missing or do not fit the data.
        """
        for name, model in self.config.base_models.items():
            if model.estimator is None:
                continue
            kept, _ = self.base_tensors(name, window, seed)
            tensors = {"scores": kept["scores"]} if "scores" in kept else kept
            column = self.scores(name, window, seed)
            expected = {"scores": torch.from_numpy(column)}
            if problem := misfit(tensors, expected) or nonfinite(tensors):
                path, _ = self.base_file(name, window, seed)
                raise CheckpointError(
                    f"{path}: its scores do not fit the data: {problem}; train it again"
                )
            column[:] = tensors["scores"].numpy()

    def scores(self, name: str, window: Window, seed: int) -> NDArray[np.float32]:
        """Return a precomputed base model's logits ``[N]``, a view of the data set's column."""
        assert self.dataset.scores is not None
        return self.dataset.scores[:, self._scores_column(name, window, seed)]

    def _scores_column(self, name: str, window: Window, seed: int) -> int:
        return scores_column(self.config.base_models, self.config.seeds, name, window, seed)

    def load_mixture(self, window: Window, seed: int) -> Mixture:
        """Return all base models trained on `window`, under an untrained selector.

        The scores of estimators are filled in first; see :meth:`fill_scores`.
        """
        self.fill_scores(window, seed)
        models = {name: self.load_base(name, window, seed) for name in self.config.base_models}
        mixture = self.new.mixture(models, self.config, seed)
        mixture.similarity = self._similarities.of(models, self.dataset, self.config, window, seed)
        return mixture

    def load_adapted(
        self,
        variant: Variant,
        seed: int,
        window: Window = "full",
        split: EvaluationSplit | None = None,
    ) -> AdaptedModel:
        """What was learned for a variant, attached to the base models trained on `window`.

        Args:
            split: the evaluation split to predict, for which rivals have settings of their own.
        """
        learned = self.load_learned(variant, seed)
        alpha = learned.alpha if split is None else alpha_of(learned.alpha, split)
        mixture = learned.attach(self.load_mixture(window, seed))
        adaptation = make_adaptation(variant, mixture, self.config, alpha)
        check_rates(alpha, adaptation, mixture, self.directory)
        tasks = self.dataset.schema.tasks
        return AdaptedModel.of_settings(mixture, alpha, adaptation, tasks, self.config.adapt)

    def save_learned(self, variant: Variant, seed: int, learned: MetaParameters) -> None:
        """Save what meta-training learned."""
        path, settings = self.learned_file(variant, seed)
        record = {each.name: getattr(learned, each.name) for each in fields(LearnedRecord)}
        self.store.save(path, learned.tensors(), settings, record)

    def has_learned(self, variant: Variant, seed: int) -> bool:
        """Return whether an intact checkpoint with the run's settings exists."""
        return self.store.matches(*self.learned_file(variant, seed))

    def load_learned(self, variant: Variant, seed: int) -> MetaParameters:
        """Return what meta-training learned, on the run's device."""
        path, settings = self.learned_file(variant, seed)
        tensors, record = self.store.load(path, settings)
        try:
            if problem := nonfinite(tensors):
                raise ValueError(problem)
            learned = MetaParameters.of_tensors(tensors, self.config.device)
            return replace(learned, **record)
        except (TypeError, ValueError) as error:
            raise _not_learned(path, error) from error

    def learned_record(self, variant: Variant, seed: int) -> LearnedRecord:
        """Return how meta-training went, without its tensors."""
        path, settings = self.learned_file(variant, seed)
        record = self.store.record(path, settings)
        try:
            return LearnedRecord(**record)
        except TypeError as error:
            raise _not_learned(path, error) from error

    def learned_snapshots(self, variant: Variant, seed: int) -> SnapshotManager:
        """Return where meta-training keeps its snapshots."""
        return self._snapshots(*self.learned_file(variant, seed))

    def learned_file(self, variant: Variant, seed: int) -> tuple[Path, dict[str, Any]]:
        """Return the path of what meta-training learned, and the settings it depends on."""
        settings = self._settings.learned(variant, seed)
        return checkpoint_path(self.directory, seed, variant), settings

    def training_seconds(self) -> float:
        """Return the seconds that training took over all seeds, earlier commands included."""
        config = self.config
        return sum(
            sum(
                self.base_record(name, window, seed).seconds
                for name in config.base_models
                for window in WINDOWS
            )
            + sum(self.learned_record(v, seed).seconds for v in variants_of(config.adapt))
            for seed in config.seeds
        )

    def _snapshots(self, path: Path, settings: dict[str, Any]) -> SnapshotManager:
        return self.store.snapshots(path, settings, self.config.checkpoint)

    @cached_property
    def _settings(self) -> CheckpointSettings:
        return CheckpointSettings(self.config, self.dataset.digest(), self.source)


def _pretrained(path: Path, record: dict[str, Any]) -> Pretrained:
    try:
        return Pretrained(**record)
    except TypeError as error:
        raise DamagedError(path, f"its record is not a base model's ({error})") from error


def _not_learned(path: Path, error: Exception) -> DamagedError:
    return DamagedError(path, f"damaged, or not written by meta-training ({error})")

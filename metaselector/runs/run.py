"""Where a run keeps its files, and how its trained parts are saved and found again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from metaselector.common.errors import CheckpointError, ConfigError, DamagedError, DataError
from metaselector.common.files import write_text
from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.own.own_log import is_schema
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.protocol import WINDOWS, EvaluationProtocol, Window
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.variants import Variant, variants_of
from metaselector.models import registry
from metaselector.models.build import make_mixture
from metaselector.models.mixture import Mixture
from metaselector.models.precomputed import Scored, scored_names, scores_column, with_scores
from metaselector.runs.checkpoint_settings import CheckpointSettings
from metaselector.training.checkpoint import (
    checkpoint_path,
    load_checkpoint,
    matches,
    save_checkpoint,
)
from metaselector.training.loop.snapshot_manager import SnapshotDirectory, SnapshotManager
from metaselector.training.peer_learning.views import viewed
from metaselector.training.pretrain import Pretrained
from metaselector.training.tensors import Room, TooLarge, misfit, nonfinite, unfit
from metaselector.training.transfer import TRANSFER_FILE, Transferred, TransferSource

CONFIG = "config.yaml"
UNFINISHED = ".unfinished"
"""What a training's directory of snapshots ends with, beside its checkpoint to be."""


@dataclass(frozen=True)
class Run:
    """A run: its directory, settings and prepared data.

    Attributes:
        directory: where its files are.
        config: its settings.
        parent: the directory of a run whose prepared data and base models this one uses, and keeps
            its own base models beside; its own directory by default.
    """

    directory: Path
    config: Config
    parent: Path | None = None

    @cached_property
    def dataset(self) -> EncodedDataset:
        """The prepared data set of this run.

        Raises:
            DataError: it is missing or damaged.
            CheckpointError: it was prepared with other settings.
        """
        dataset = EncodedDataset.load(self.data_directory)
        schema, config = dataset.schema, self.config
        split = config.percentages
        # The data of a schema of one's own are called what the schema says.
        name = schema.dataset if is_schema(config.dataset) else config.dataset
        for key, prepared, wanted in (
            ("dataset", schema.dataset, name),
            ("data.label_threshold", schema.label_threshold, config.data.label_threshold),
            ("data.history_length", schema.history_length, config.data.history_length),
            ("data.min_count", schema.min_count, config.data.min_count),
            ("protocol", schema.protocol, config.protocol),
            (
                "split" if config.protocol == "warm" else "cold",
                schema.windows,
                (split.early, split.train, split.valid),
            ),
            ("cold.split_seed", schema.cold_seed, config.cold_seed),
        ):
            if prepared != wanted:
                raise CheckpointError(
                    f"{self.data_directory}: prepared with {key}={prepared}, this run has {wanted}"
                    "; run `metaselector data prepare` again or use another --run directory"
                )
        return with_scores(dataset, config.base_models, config.seeds, self._items)

    def _items(self) -> list[str]:
        return [str(name) for name in FittedEncoder.load(self.data_directory).items.index]

    @property
    def is_prepared(self) -> bool:
        """Whether its data is there, whole, and prepared with its settings."""
        try:
            return self.dataset is not None
        except (DataError, CheckpointError):
            return False

    @property
    def trained_models(self) -> list[str]:
        """The base models that are trained: all but those whose scores come from a file."""
        return [name for name, model in self.config.base_models.items() if model.scores is None]

    @property
    def scored(self) -> list[str]:
        """The base models that are scores, in the order of their slots."""
        return scored_names(self.config.base_models)

    def scores_column(self, name: str, window: Window, seed: int) -> int:
        """Where in the data set's scores those of a base model are, once it is loaded."""
        config = self.config
        return scores_column(config.base_models, config.seeds, name, window, seed)

    @cached_property
    def protocol(self) -> EvaluationProtocol:
        """Which rows every step uses; raises as :attr:`dataset`."""
        return make_protocol(self.dataset, self.config)

    @cached_property
    def source(self) -> TransferSource | None:
        """The run whose base models this one's start from, if there is one.

        Raises:
            ConfigError: it is this run itself.
            UserError: its prepared data is missing or damaged.
        """
        if self.config.transfer.init_from is None:
            return None
        directory = Path(self.config.transfer.init_from)
        if directory.resolve() == (self.parent or self.directory).resolve():
            raise ConfigError(
                f"transfer.init_from: {directory} is this run itself; name another one, or choose "
                "another --run directory"
            )
        return TransferSource(directory)

    @cached_property
    def _digest(self) -> str:
        return self.dataset.digest()

    @property
    def data_directory(self) -> Path:
        return (self.parent or self.directory) / "data"

    @property
    def task_folders(self) -> tuple[str, ...]:
        """Where in the run's directory the tables of each task are: in it, if there is one task."""
        tasks = self.dataset.schema.tasks
        return (".",) if len(tasks) == 1 else tuple(f"task-{name}" for name in tasks)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The rows of the table that adapt."""
        return variants_of(self.config.adapt)

    def save_base(
        self, name: str, window: Window, seed: int, model: nn.Module, made: Pretrained
    ) -> None:
        path, settings = self._base(name, window, seed)
        save_checkpoint(path, model.state_dict(), settings, made._asdict())

    def save_transferred(
        self, name: str, window: Window, seed: int, report: Sequence[Transferred]
    ) -> None:
        """Keep what a base model got from the source, beside what the others did."""
        path = self.directory / TRANSFER_FILE
        key = {"seed": seed, "model": name, "window": window}
        lines = pd.DataFrame([key | line._asdict() for line in report])
        if path.exists():
            kept = pd.read_csv(path, dtype={"model": "str"}, keep_default_na=False)
            same = (kept[list(key)] == pd.Series(key)).all(axis=1)
            lines = pd.concat([kept[~same], lines])
        write_text(path, lines.to_csv(index=False))

    def load_base(self, name: str, window: Window, seed: int) -> tuple[nn.Module, Pretrained]:
        """A pretrained base model on the run's device, in evaluation mode."""
        if name in self.scored:
            return self._load_scored(name, window, seed)
        tensors, made = self.base_tensors(name, window, seed)
        try:
            with Room(tensors):
                model = self.new_base(name, seed)
            problem = unfit(tensors, model)
        except TooLarge as error:
            problem = str(error)
        if problem:  # or the plug-in's class has changed under the same options
            path, _ = self._base(name, window, seed)
            raise CheckpointError(
                f"{path}: its tensors do not fit base model '{name}': {problem}; train it again"
            )
        model.load_state_dict(tensors)
        return model.eval(), made

    def base_tensors(
        self, name: str, window: Window, seed: int
    ) -> tuple[dict[str, Tensor], Pretrained]:
        """What :meth:`save_base` has kept of a base model."""
        path, settings = self._base(name, window, seed)
        tensors, record = load_checkpoint(path, settings)
        try:
            return tensors, Pretrained(**record)
        except TypeError as error:
            raise DamagedError(path, f"its record is not a base model's ({error})") from error

    def _load_scored(self, name: str, window: Window, seed: int) -> tuple[nn.Module, Pretrained]:
        """A base model that is scores; those of an estimator are put beside the data."""
        column, made = self.scores_column(name, window, seed), Pretrained(0, [], 0.0)
        if self.config.base_models[name].estimator is not None:
            tensors, made = self.base_tensors(name, window, seed)
            assert self.dataset.scores is not None
            place = self.dataset.scores[:, column]
            expected = {"scores": torch.from_numpy(place)}
            if problem := misfit(tensors, expected) or nonfinite(tensors):
                path, _ = self._base(name, window, seed)
                raise CheckpointError(
                    f"{path}: its scores do not fit the data: {problem}; train it again"
                )
            place[:] = tensors["scores"].numpy()
        return Scored(self.dataset.schema.num_slots + column).eval(), made

    def new_base(self, name: str, seed: int) -> nn.Module:
        """An untrained base model."""
        settings = self.config.base_models[name]
        schema = self.dataset.schema
        model = registry.create_for(name, settings, schema, seed)
        return viewed(model, name, self.config, schema).to(self.config.device)

    def keeps_base(self, name: str, window: Window, seed: int) -> bool:
        """Whether there is a checkpoint of it, be it made with other settings."""
        return self._base(name, window, seed)[0].exists()

    def has_base(self, name: str, window: Window, seed: int) -> bool:
        return matches(*self._base(name, window, seed))

    def load_mixture(self, window: Window, seed: int) -> Mixture:
        """All base models trained on `window` under an untrained selector."""
        models = {name: self.load_base(name, window, seed)[0] for name in self.config.base_models}
        return make_mixture(models, self.dataset, self.config, seed)

    def save_learned(self, variant: Variant, seed: int, learned: MetaParameters) -> None:
        path, settings = self._learned(variant, seed)
        record = {
            "history": learned.history,
            "rates": learned.rates,
            "best_epoch": learned.best_epoch,
            "seconds": learned.seconds,
        }
        save_checkpoint(path, learned.tensors(), settings, record)

    def load_learned(self, variant: Variant, seed: int) -> MetaParameters:
        path, settings = self._learned(variant, seed)
        tensors, record = load_checkpoint(path, settings)
        try:
            if problem := nonfinite(tensors):
                raise ValueError(problem)
            learned = MetaParameters.of_tensors(tensors, self.config.device)
            return replace(learned, **record)
        except (TypeError, ValueError) as error:
            raise DamagedError(path, f"damaged, or not meta-training's ({error})") from error

    def has_learned(self, variant: Variant, seed: int) -> bool:
        return matches(*self._learned(variant, seed))

    def base_keeper(self, name: str, window: Window, seed: int) -> SnapshotManager:
        """Where the training of a base model keeps snapshots while it is under way."""
        return self._keeper(*self._base(name, window, seed))

    def taught_keeper(self, window: Window, seed: int) -> SnapshotManager:
        """The same of base models that teach each other."""
        path, settings = self._base(self.config.taught[0], window, seed)
        return self._keeper(path.with_stem(f"base-taught-{window}"), settings)

    def learned_keeper(self, variant: Variant, seed: int) -> SnapshotManager:
        """Where meta-training keeps snapshots while it is under way."""
        return self._keeper(*self._learned(variant, seed))

    def _keeper(self, path: Path, settings: dict[str, Any]) -> SnapshotManager:
        return SnapshotDirectory(path.with_suffix(UNFINISHED), settings, self.config.checkpoint)

    def training_seconds(self) -> float:
        """Time that training took for all seeds, in whichever call of a command it happened."""
        return sum(
            sum(
                self.load_base(name, window, seed)[1].seconds
                for name in self.config.base_models
                for window in WINDOWS
            )
            + sum(self.load_learned(variant, seed).seconds for variant in self.variants)
            for seed in self.config.seeds
        )

    def _base(self, name: str, window: Window, seed: int) -> tuple[Path, dict[str, Any]]:
        path = checkpoint_path(self.parent or self.directory, seed, f"base-{name}-{window}")
        return path, self._depends_on.base(name, window, seed)

    def _learned(self, variant: Variant, seed: int) -> tuple[Path, dict[str, Any]]:
        settings = self._depends_on.learned(variant, seed)
        return checkpoint_path(self.directory, seed, variant), settings

    @property
    def _depends_on(self) -> CheckpointSettings:
        return CheckpointSettings(self.config, self._digest, self.source)

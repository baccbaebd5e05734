"""A run: its directory, its settings, and the data it was prepared from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from metaselector.common.errors import CheckpointError, ConfigError, DataError
from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.microseconds import as_text
from metaselector.data.own.own_log import is_schema
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.dates import given_dates
from metaselector.data.splitting.protocol import EvaluationProtocol
from metaselector.meta.variants import Variant, variants_of
from metaselector.models.precomputed import scored_names, with_scores
from metaselector.runs.checkpoint_store import CheckpointStore, FileStore
from metaselector.runs.checkpoints import Checkpoints
from metaselector.runs.new_models import NewModels
from metaselector.training.transfer import TransferSource

CONFIG = "config.yaml"


@dataclass(frozen=True)
class Run:
    """A directory with the settings, prepared data, checkpoints and results of one experiment.

    Attributes:
        directory: where its files are.
        config: its settings.
        parent: directory of another run whose prepared data this run uses and beside whose base
            models it saves its own; by default the run's own directory.
        store: where trained parts are saved; by default as files.
        shard_tables: whether each worker keeps a block of the rows of tables, in the same files.
    """

    directory: Path
    config: Config
    parent: Path | None = None
    store: CheckpointStore = field(default_factory=FileStore, compare=False)
    shard_tables: bool = False

    @cached_property
    def dataset(self) -> EncodedDataset:
        """The prepared data, with a column for the scores of each precomputed base model.

        The columns of estimators are nan until
        :meth:`~metaselector.runs.checkpoints.Checkpoints.fill_scores` fills them.

        Raises:
            DataError: the prepared data is missing or damaged.
            CheckpointError: it was prepared with different settings.
        """
        dataset = EncodedDataset.load(self.data_directory)
        schema, config = dataset.schema, self.config
        split = config.percentages
        # The user's own schema names its data set itself.
        name = schema.dataset if is_schema(config.dataset) else config.dataset
        for key, prepared, wanted in (
            ("dataset", schema.dataset, name),
            ("data.label_threshold", schema.label_threshold, config.data.label_threshold),
            ("data.history_length", schema.history_length, config.data.history_length),
            ("data.min_count", schema.min_count, config.data.min_count),
            ("data.min_user_rows", schema.min_user_rows or 1, config.data.min_user_rows),
            ("data.min_user_lists", schema.min_user_lists or 1, config.data.min_user_lists),
            ("protocol", schema.protocol, config.protocol),
            (
                "cold" if config.protocol == "cold" else "split",
                schema.windows,
                (split.early, split.train, split.valid),
            ),
            ("cold.split_seed", schema.cold_seed, config.cold_seed),
            ("split.dates", schema.dates if schema.dates_given else None, given_dates(config)),
        ):
            if prepared != wanted:
                before, now = (_shown(key, value) for value in (prepared, wanted))
                raise CheckpointError(
                    f"{self.data_directory}: prepared with {key}={before}, this run has {now}"
                    "; run `metaselector data prepare` again or use another --run directory"
                )
        return with_scores(dataset, config.base_models, config.seeds, self._items)

    def _items(self) -> list[str]:
        return [str(name) for name in FittedEncoder.load(self.data_directory).items.index]

    @property
    def is_prepared(self) -> bool:
        """Whether intact data prepared with this run's settings exists."""
        try:
            return self.dataset is not None
        except (DataError, CheckpointError):
            return False

    @property
    def trained_models(self) -> list[str]:
        """The base models that this run trains, estimators included."""
        return [name for name, model in self.config.base_models.items() if model.scores is None]

    @property
    def scored(self) -> list[str]:
        """The precomputed base models and the estimators, in the order of their slots."""
        return scored_names(self.config.base_models)

    @cached_property
    def protocol(self) -> EvaluationProtocol:
        """The rows that each stage uses; raises what :attr:`dataset` raises."""
        return make_protocol(self.dataset, self.config)

    @cached_property
    def source(self) -> TransferSource | None:
        """The run whose base models initialise this run's, if any.

        Raises:
            ConfigError: ``transfer.init_from`` is this run itself.
        """
        if self.config.transfer.init_from is None:
            return None
        directory = Path(self.config.transfer.init_from)
        if directory.resolve() == self.base_directory.resolve():
            raise ConfigError(
                f"transfer.init_from: {directory} is this run itself; name another run, or choose "
                "another --run directory"
            )
        return TransferSource(directory)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The trained parts of this run.

        Raises what :attr:`dataset` and :attr:`source` raise, and :class:`ConfigError` if tables
        cannot be sharded as asked.
        """
        config, dataset = self.config, self.dataset
        sharded = None
        if self.shard_tables:
            from metaselector.runs.sharding import shard  # slow to import

            sharded = shard(config, dataset.schema)
        store = FileStore(sharded) if sharded else self.store
        new = NewModels(config, dataset.schema, sharded)
        places = self.directory, self.base_directory
        return Checkpoints(*places, config, dataset, self.source, store, new)

    @property
    def base_directory(self) -> Path:
        """The directory of the prepared data and of the base models."""
        return self.parent or self.directory

    @property
    def data_directory(self) -> Path:
        """The directory of the prepared data."""
        return self.base_directory / "data"

    @property
    def task_folders(self) -> tuple[str, ...]:
        """Subdirectory of each task's tables: the run's directory itself if it has one task."""
        tasks = self.dataset.schema.tasks
        return (".",) if len(tasks) == 1 else tuple(f"task-{name}" for name in tasks)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants that the settings ask to meta-train."""
        return variants_of(self.config.adapt)


def _shown(key: str, value: Any) -> str:
    """A setting's value for a message; dates are kept in microseconds."""
    dated = key == "split.dates" and value is not None
    return f"[{', '.join(map(as_text, value))}]" if dated else str(value)

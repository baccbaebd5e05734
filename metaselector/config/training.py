"""Settings for training base models: alone, initialized from another run, or by peer learning."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    AllowInfNan,
    Field,
    model_validator,
)

from metaselector.config.section import Section

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

SMALLEST_BATCH, MOST_DOUBLINGS = 512, 3
BATCH_ROWS = 250_000
"""Rows of data for which the smallest batch is meant; each doubling of them doubles the batch."""


class PretrainConfig(Section):
    """How a base model is trained.

    All settings after the first five default to null: checkpoints that predate a setting were
    trained as if it were null.
    """

    learning_rate: float = Field(5e-3, gt=0, description="Adam's learning rate")
    weight_decay: float = Field(1e-4, ge=0, description="Adam's L2 penalty, on all parameters")
    batch_size: int | None = Field(
        None,
        ge=1,
        description="rows per step; null: 512, and 1024, 2048 or 4096 from about 350,000, 700,000 "
        "or 1,400,000 rows of data on",
    )
    epochs: int = Field(30, ge=1, description="maximum passes over the training rows")
    patience: int = Field(
        3, ge=1, description="epochs without a lower valid logloss before stopping early"
    )
    embedding_learning_rate: float | None = Field(
        None,
        gt=0,
        description="multi-task models: learning rate of the embeddings; null: learning_rate",
    )
    shared_learning_rate: float | None = Field(
        None,
        gt=0,
        description="multi-task models: learning rate of all other shared parameters; null: "
        "learning_rate",
    )
    task_learning_rates: dict[str, Positive] | None = Field(
        None,
        description="multi-task models: learning rate of a task's own parameters, by task; "
        "null, or for tasks not listed: learning_rate",
    )
    task_weights: dict[str, NotNegative] | None = Field(
        None,
        description="multi-task models: weight of a task's loss in training and validation, by "
        "task; null: 1 each; otherwise all tasks must be listed",
    )
    balance: Literal["decaying", "uncertainty", "aggregator"] | None = Field(
        None,
        description="multi-task models: how the weighted task losses are combined; null: "
        "summed; decaying: weights decay by task_decay; uncertainty: learned "
        "variances; aggregator: gradients combined by TorchJD",
    )
    task_decay: dict[str, Positive] | None = Field(
        None,
        description="balance=decaying: factor by which a task's weight changes after each "
        "epoch, by task; 1 for tasks not listed",
    )
    aggregator: str | None = Field(
        None,
        description="balance=aggregator: class of torchjd.aggregation, such as PCGrad, that "
        "combines the tasks' gradients of shared parameters",
    )
    aggregator_options: dict[str, Any] | None = Field(
        None, description="balance=aggregator: constructor arguments of the aggregator"
    )
    weight_decay_rows: int | None = Field(
        None,
        ge=1,
        description="rows of data that weight_decay is meant for: with n rows it is multiplied by "
        "this / n, as more rows need less of it; null: weight_decay holds as it is",
    )
    clip_norm: float | None = Field(
        None,
        gt=0,
        description="maximum Euclidean norm of a step's gradients; larger ones are scaled down; "
        "null: no clipping",
    )

    def for_rows(self, rows: int) -> PretrainConfig:
        """The same settings with the batch size and weight decay for data of so many rows.

        The batch size is a power of two that leaves about 500 steps per epoch, from 512 to 4096.
        The penalty is that of a prior: it counts less per row, the more rows there are.
        ``docs/benchmarks/data-size.md`` shows both on *valid* of data of several sizes.

        Example:
            >>> given = PretrainConfig(weight_decay=2e-4, weight_decay_rows=100_000)
            >>> settings = given.for_rows(1_000_000)
            >>> settings.batch_size, settings.weight_decay
            (2048, 2e-05)
        """
        changed: dict[str, Any] = {}
        if self.batch_size is None:
            doublings = round(math.log2(max(rows, 1) / BATCH_ROWS))
            changed["batch_size"] = SMALLEST_BATCH * 2 ** min(max(doublings, 0), MOST_DOUBLINGS)
        if self.weight_decay_rows is not None:
            scale = self.weight_decay_rows / max(rows, 1)
            changed |= {"weight_decay": self.weight_decay * scale, "weight_decay_rows": None}
        return self.model_copy(update=changed)

    @property
    def rows_per_step(self) -> int:
        """The batch size; :meth:`for_rows` sets it."""
        if self.batch_size is None:
            raise ValueError("batch_size is null: call for_rows() first")
        return self.batch_size

    @model_validator(mode="after")
    def _fitting_balance(self) -> PretrainConfig:
        for name, value, needed in (
            ("task_decay", self.task_decay, "decaying"),
            ("aggregator", self.aggregator, "aggregator"),
        ):
            if (value is not None) != (self.balance == needed):
                raise ValueError(f"balance={needed} and {name} go together: set both or neither")
        if self.aggregator_options is not None and self.aggregator is None:
            raise ValueError("aggregator_options needs aggregator")
        return self


class TransferConfig(Section):
    """Base models initialized from another run."""

    init_from: str | None = Field(
        None,
        min_length=1,
        description="directory of a run to initialize base models from, each from the model of "
        "the same name, seed and window; null: random initialization",
    )
    freeze: tuple[str, ...] = Field(
        (),
        description="shell-style patterns of parameters, <base model>.<parameter>, that stay as "
        "initialized from that run, such as *.embedding.*",
    )
    unfreeze_every: int | None = Field(
        None,
        ge=1,
        description="epochs between unfreezing one more pattern of freeze, starting with the "
        "last; null: never",
    )

    @model_validator(mode="after")
    def _complete(self) -> TransferConfig:
        if self.freeze and self.init_from is None:
            raise ValueError("freeze needs init_from: untrained parameters cannot stay frozen")
        if self.unfreeze_every is not None and not self.freeze:
            raise ValueError("unfreeze_every needs freeze: no parameters are frozen")
        return self


class PeerLearningConfig(Section):
    """Base models that learn from each other, beside the labels or on unlabelled pairs."""

    strategy: Literal["independent", "mutual", "co-training"] = Field(
        "independent",
        description="independent: each base model trains alone; mutual: models train side by "
        "side and also learn from each other's predictions on the batch; "
        "co-training: models train in rounds and also learn from each other's "
        "confident predictions for user-item pairs without a row",
    )
    weight: float = Field(
        1.0,
        ge=0,
        description="mutual: weight of the mean divergence from the other models' predictions, "
        "relative to the loss on labels",
    )
    warm_up: int = Field(
        1, ge=0, description="mutual: epochs before the models start learning from each other"
    )
    pair_weight: float = Field(
        0.1, ge=0, description="co-training: weight of a pseudo-labelled pair, relative to a row"
    )
    views: Literal["learners", "rows", "fields"] = Field(
        "learners",
        description="co-training: how the models differ; learners: only in the models "
        "themselves; rows: each has the labels of a different group of users; "
        "fields: each sees different fields",
    )
    fields: dict[str, tuple[str, ...]] | None = Field(
        None,
        description="views=fields: the fields of the data that each base model sees, by base model",
    )
    rounds: int = Field(5, ge=1, description="co-training: maximum rounds of pseudo-labelling")
    patience: int = Field(
        1,
        ge=1,
        description="co-training: rounds without a lower mean valid loss of the models before "
        "stopping early",
    )
    candidates: float = Field(
        1.0,
        gt=0,
        description="co-training: pairs drawn per round, as a fraction of the training rows",
    )
    confidence: float = Field(
        0.8,
        ge=0.5,
        lt=1,
        description="co-training: minimum mean probability of either class, predicted by the "
        "other models, at which a pair is pseudo-labelled for a model",
    )
    growth: float = Field(
        0.1,
        gt=0,
        description="co-training: maximum pairs a model gains per round, as a fraction of its rows",
    )
    most: float = Field(
        0.5,
        gt=0,
        description="co-training: maximum pairs a model gains in total, as a fraction of its rows",
    )

    @model_validator(mode="after")
    def _complete(self) -> PeerLearningConfig:
        if (self.views == "fields") != (self.fields is not None):
            raise ValueError("views=fields and fields go together: set both or neither")
        if self.fields is not None and any(not each for each in self.fields.values()):
            raise ValueError("fields: every base model needs at least one field")
        return self

    @property
    def used(self) -> dict[str, Any]:
        """The settings that affect the chosen strategy, as JSON values."""
        of_mutual = {"weight", "warm_up"}
        every = self.model_dump(mode="json")
        if self.strategy == "mutual":
            return {key: every[key] for key in sorted(of_mutual | {"strategy"})}
        return {key: value for key, value in every.items() if key not in of_mutual}


class CheckpointConfig(Section):
    """How often an unfinished training is saved, so that it can resume from there."""

    seconds: Annotated[float, AllowInfNan(True)] = Field(
        60.0,
        ge=0,
        description="seconds between snapshots of an unfinished training, or more if writing "
        "them would take over 5 % of the time; .inf: no snapshots by time",
    )
    steps: int | None = Field(
        None, ge=1, description="steps between additional snapshots; null: by time only"
    )
    keep: int = Field(
        2,
        ge=1,
        description="snapshots kept of each training; older ones are used if the latest is damaged",
    )

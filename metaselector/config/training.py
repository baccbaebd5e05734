"""Settings of training base models: alone, from those of another run, or by each other."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AllowInfNan,
    Field,
    model_validator,
)

from metaselector.config.section import Section

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class PretrainConfig(Section):
    """How a base model is trained.

    All that came later than the first five is null by default: a checkpoint that does not know of
    a setting was made with null.
    """

    learning_rate: float = Field(5e-3, gt=0, description="Adam's learning rate")
    weight_decay: float = Field(1e-4, ge=0, description="Adam's L2 penalty on every parameter")
    batch_size: int = Field(512, ge=1, description="rows a step")
    epochs: int = Field(30, ge=1, description="most passes over the training rows")
    patience: int = Field(
        3, ge=1, description="epochs without a better valid logloss before stopping"
    )
    embedding_learning_rate: float | None = Field(
        None,
        gt=0,
        description="of a model of several tasks, Adam's rate for embeddings; null: learning_rate",
    )
    shared_learning_rate: float | None = Field(
        None, gt=0, description="for what else the tasks share; null: learning_rate"
    )
    task_learning_rates: dict[str, Positive] | None = Field(
        None, description="by task, for what is its own; null, or not named: learning_rate"
    )
    task_weights: dict[str, NotNegative] | None = Field(
        None,
        description="by task, what its loss counts in training and on valid; null: 1 each; "
        "otherwise every task of the data is named",
    )
    balance: Literal["decaying", "uncertainty", "aggregator"] | None = Field(
        None,
        description="how the tasks' weighted losses become one step; null: their sum; decaying: "
        "weights shrink by task_decay; uncertainty: learned variances; aggregator: TorchJD's",
    )
    task_decay: dict[str, Positive] | None = Field(
        None,
        description="decaying: by task, what its weight is multiplied by after every epoch; 1 for "
        "those not named",
    )
    aggregator: str | None = Field(
        None,
        description="aggregator: a class of torchjd.aggregation, such as PCGrad, that makes one "
        "gradient of the tasks' gradients of shared parameters",
    )
    aggregator_options: dict[str, Any] | None = Field(
        None, description="aggregator: arguments of its constructor"
    )
    clip_norm: float | None = Field(
        None, gt=0, description="a step's gradients are shrunk to this Euclidean norm; null: never"
    )

    @model_validator(mode="after")
    def _fitting_balance(self) -> PretrainConfig:
        for name, value, needed in (
            ("task_decay", self.task_decay, "decaying"),
            ("aggregator", self.aggregator, "aggregator"),
        ):
            if (value is not None) != (self.balance == needed):
                raise ValueError(f"balance={needed} and {name} go together: give both or neither")
        if self.aggregator_options is not None and self.aggregator is None:
            raise ValueError("aggregator_options needs aggregator")
        return self


class TransferConfig(Section):
    """Starting base models from those of another run."""

    init_from: str | None = Field(
        None,
        min_length=1,
        description="directory of a run, each of whose base models the one of the same name, seed "
        "and window starts from; null: from nothing",
    )
    freeze: tuple[str, ...] = Field(
        (),
        description="shell-style patterns of parameters, <base model>.<parameter>, that keep what "
        "they got from that run, such as *.embedding.*",
    )
    unfreeze_every: int | None = Field(
        None,
        ge=1,
        description="epochs after which one more of those patterns is trained again, the last "
        "one first; null: none is",
    )

    @model_validator(mode="after")
    def _complete(self) -> TransferConfig:
        if self.freeze and self.init_from is None:
            raise ValueError("freeze needs init_from: what would be frozen has learned nothing")
        if self.unfreeze_every is not None and not self.freeze:
            raise ValueError("unfreeze_every needs freeze: nothing is frozen")
        return self


class PeerLearningConfig(Section):
    """Base models that teach each other, on what nobody has labelled or beside the labels."""

    strategy: Literal["independent", "mutual", "co-training"] = Field(
        "independent",
        description="independent: every base model is trained alone; mutual: side by side, each "
        "also learning the others' predictions of the batch; co-training: in rounds, each also "
        "learning the others' confident predictions of pairs of user and item that no row has",
    )
    weight: float = Field(
        1.0,
        ge=0,
        description="mutual: what the mean divergence from the others' predictions counts against "
        "the loss on labels",
    )
    warm_up: int = Field(
        1, ge=0, description="mutual: epochs before the models begin to teach each other"
    )
    pair_weight: float = Field(
        0.1, ge=0, description="co-training: what a pair counts against a row"
    )
    views: Literal["learners", "rows", "fields"] = Field(
        "learners",
        description="co-training: in what the models differ; learners: in nothing but themselves; "
        "rows: each has the labels of users of its own; fields: each sees features of its own",
    )
    fields: dict[str, tuple[str, ...]] | None = Field(
        None, description="views=fields: by base model, the data's fields that it sees"
    )
    rounds: int = Field(5, ge=1, description="co-training: most rounds of labelling pairs")
    patience: int = Field(
        1,
        ge=1,
        description="co-training: rounds without a better mean valid loss of the models before "
        "the training ends",
    )
    candidates: float = Field(
        1.0,
        gt=0,
        description="co-training: pairs that are drawn a round, in share of the training rows",
    )
    confidence: float = Field(
        0.8,
        ge=0.5,
        lt=1,
        description="co-training: a pair is labelled for a model where the mean probability by "
        "the others, of either class, is at least this",
    )
    growth: float = Field(
        0.1,
        gt=0,
        description="co-training: most pairs that a model gets a round, in share of its rows",
    )
    most: float = Field(
        0.5, gt=0, description="co-training: most pairs in all, in share of its rows"
    )

    @model_validator(mode="after")
    def _complete(self) -> PeerLearningConfig:
        if (self.views == "fields") != (self.fields is not None):
            raise ValueError("views=fields and fields go together: give both or neither")
        if self.fields is not None and any(not each for each in self.fields.values()):
            raise ValueError("fields: every base model needs one or more")
        return self

    @property
    def used(self) -> dict[str, Any]:
        """The settings that the strategy depends on, as JSON has them."""
        of_mutual = {"weight", "warm_up"}
        every = self.model_dump(mode="json")
        if self.strategy == "mutual":
            return {key: every[key] for key in sorted(of_mutual | {"strategy"})}
        return {key: value for key, value in every.items() if key not in of_mutual}


class CheckpointConfig(Section):
    """How often a training that is under way is kept, so that it can go on from there."""

    seconds: Annotated[float, AllowInfNan(True)] = Field(  # infinite: never
        60.0,
        ge=0,
        description="between two snapshots of an unfinished training; more, where writing them "
        "takes more than 5 % of the time",
    )
    steps: int | None = Field(
        None, ge=1, description="also after every so many steps; null: only by time"
    )
    keep: int = Field(
        2, ge=1, description="snapshots kept of each training, the older ones in case of damage"
    )

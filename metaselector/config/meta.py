"""Settings of the selector, the inner loop and the outer loop."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AllowInfNan, Field, field_validator, model_validator

from metaselector.config.plugins.kinds import RULES, SELECTORS
from metaselector.config.plugins.registry import checked
from metaselector.config.section import Section

SelectorInput = Literal["fields", "outputs", "disagreement", "support-losses"]


class SelectorConfig(Section):
    """The selector: its inputs, its network and how its weights are smoothed."""

    kind: str | None = Field(
        None, description="a plug-in, or path/to/file.py:Class; null: the built-in gated network"
    )
    options: dict[str, Any] | None = Field(
        None, description="constructor arguments of a plug-in that are not settings of this section"
    )
    inputs: tuple[SelectorInput, ...] = Field(
        ("fields", "outputs"),
        min_length=1,
        description="inputs, in any order: fields (the selector's own embeddings of the row's "
        "features), outputs (the base models' log-odds), disagreement (how far each "
        "model's log-odds are from their mean), support-losses (each model's mean "
        "logloss on the user's support set before adaptation)",
    )
    embedding_size: int = Field(8, ge=1, description="dimension of the selector's own embeddings")
    hidden_size: int = Field(32, ge=1, description="width of the gated hidden layer")
    temperature: float = Field(
        1.0, gt=0, description="softmax temperature of the weights; higher is closer to uniform"
    )
    uniform_mixing: float = Field(
        0.0, ge=0, lt=1, description="share x of uniform weights mixed in: (1 - x) softmax + x / K"
    )
    learning_rate: float = Field(
        1e-3,
        ge=0,
        description="Adam's learning rate for the sample-level selector, from which phi is "
        "initialized",
    )
    epochs: int = Field(
        10, ge=1, description="maximum passes over the users for the sample-level selector"
    )
    query_size: int = Field(
        100, ge=1, description="maximum rows per user and pass for the sample-level selector"
    )
    patience: int = Field(
        3,
        ge=1,
        description="epochs of the sample-level selector without a lower valid loss before "
        "stopping early",
    )

    @property
    def of_training(self) -> dict[str, Any]:
        """The settings of the outer loop that trains the sample-level selector."""
        return {
            "outer_lr_phi": self.learning_rate,
            "epochs": self.epochs,
            "patience": self.patience,
            "query_size": self.query_size,
            "support_boundary": "start",
            "averaging": 0.0,
        }

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str | None) -> str | None:
        return None if kind is None else checked(SELECTORS, kind)

    @field_validator("inputs")
    @classmethod
    def _each_once(cls, inputs: tuple[SelectorInput, ...]) -> tuple[SelectorInput, ...]:
        if len(set(inputs)) < len(inputs):
            raise ValueError("an input is listed twice; list each once")
        return tuple(kind for kind in get_args(SelectorInput) if kind in inputs)


class ResidualsConfig(Section):
    """The correction by the residuals of similar support rows; numbers start here."""

    enabled: bool = Field(True, description="correct predictions by the residuals of support rows")
    similarities: tuple[str, ...] = Field(
        ("features", "embeddings", "co-residuals"),
        description="measures of how alike two rows are: features (cosine of the items' lists, "
        "such as genres), embeddings (cosine of the items' vectors in a base model), "
        "co-residuals (how alike training users' residuals of the two items are), a "
        "plug-in, or path/to/file.py:Class; those that the data lack are left out",
    )
    strength: float = Field(0.65, gt=0, description="initial strength of the correction")
    prior: float = Field(
        20.0, gt=0, description="initial variance of the prior, which few rows do not outweigh"
    )
    half_life: float = Field(
        100.0, gt=0, description="initial number of later rows that halve a support row's weight"
    )
    time_decay: float = Field(
        0.05, gt=0, description="initial exponent of the decay with the hours between two rows"
    )
    gamma: float = Field(2.0, description="how much each similarity counts at the start")


class AdaptConfig(Section):
    """The inner loop: how a user's support set adapts the parameters."""

    rule: str = Field(
        "meta-sgd",
        description="inner rule: maml, first-order-maml, meta-sgd, a plug-in, or "
        "path/to/file.py:Class",
    )
    granularity: Literal["scalar", "tensor", "element"] = Field(
        "tensor",
        description="Meta-SGD's learned inner rates: one for all (scalar), one per tensor, or "
        "one per element",
    )
    steps: int = Field(2, ge=0, description="inner gradient steps")
    per_step: bool = Field(
        True, description="learn separate rates for each inner step (granularity scalar or tensor)"
    )
    half_lives: tuple[float | None, ...] = Field(
        (10.0, 5.0),
        description="recency weighting in the last inner steps, one value per step: number of "
        "later rows that halve a support row's weight; null: equal weights, as in "
        "all earlier steps; with fewer steps than values, the last values hold",
    )
    time_decays: tuple[float, ...] = Field(
        (0.05, 3.0),
        description="decay by time in the last inner steps, one value per step: a support row g "
        "hours before the first row to predict has the weight (1 + g) to the power of minus this; "
        "0: none, as in all earlier steps",
    )
    prior_rows: float = Field(
        10.0,
        ge=0,
        description="scales a user's support loss by n / (n + this), where n is the sum of their "
        "support rows' weights, so that few rows move the parameters less",
    )
    learned_weights: bool = Field(
        True,
        description="let the outer loop learn half_lives, time_decays and prior_rows, one of each "
        "per step; they start at these settings, and null at 1000 rows",
    )
    support_sizes: tuple[int, ...] = Field(
        (1, 2, 3, 5, 10, 20),
        description="numbers of support rows that meta-training also shows: half of the users get "
        "one of these at random, the others all; none: always all",
    )
    residuals: ResidualsConfig = Field(default_factory=ResidualsConfig)
    engine: Literal["func", "higher", "learn2learn"] = Field(
        "func",
        description="implementation of the inner loop; all give equal results, and func adapts "
        "many users at once",
    )
    max_users_per_chunk: int = Field(
        64,
        ge=1,
        description="users adapted at once; limits memory, and affects results only by rounding",
    )
    inner_dropout: bool = Field(
        False,
        description="apply the base models' dropout in meta-training, with a separate mask per "
        "user and pass; predictions never use dropout",
    )
    support_size: int = Field(40, ge=1, description="warm: most recent rows that a user adapts on")
    inner_lr_theta: float = Field(
        0.1, description="initial inner learning rate of theta, the base models' parameters"
    )
    inner_lr_phi: float = Field(
        0.5, description="initial inner learning rate of phi, the selector's parameters"
    )
    parameters: tuple[str, ...] = Field(
        ("*",), description="shell-style patterns of the parameters that adapt, such as selector.*"
    )
    task_weights: dict[str, float] | None = Field(
        None,
        description="multi-task: weight of a task's loss in adaptation and in training "
        "selectors, by task; 1 for tasks not listed",
    )
    compared_rules: tuple[Literal["maml", "first-order-maml"], ...] = Field(
        (),
        description="further inner rules to meta-train MetaSelector with; each adds its rows to "
        "the results table",
    )
    finetune_steps: int = Field(
        5, ge=1, description="gradient steps of the baseline user-finetuned"
    )
    finetune_rates: tuple[float, ...] = Field(
        (0.01, 0.03, 0.1, 0.3, 1.0),
        min_length=1,
        description="learning rates that the baseline user-finetuned selects from on valid",
    )

    @field_validator("rule")
    @classmethod
    def _known(cls, rule: str) -> str:
        return checked(RULES, rule)

    @model_validator(mode="after")
    def _steps(self) -> AdaptConfig:
        if any(half_life is not None and half_life <= 0 for half_life in self.half_lives):
            raise ValueError(f"half_lives must be positive or null, got {list(self.half_lives)}")
        if any(decay < 0 for decay in self.time_decays):
            raise ValueError(f"time_decays must not be negative, got {list(self.time_decays)}")
        for name in ("half_lives", "time_decays"):
            values = getattr(self, name)
            if len(values) > max(self.steps, 2):  # the defaults have two, for any steps
                raise ValueError(
                    f"{name} has {len(values)} values for {self.steps} steps; give at most one per "
                    "step"
                )
        if self.per_step and self.rule == "meta-sgd" and self.granularity == "element":
            raise ValueError("per_step needs granularity scalar or tensor, got element")
        return self

    @property
    def half_life_of_steps(self) -> tuple[float | None, ...]:
        """The half-life of every inner step; null weights all support rows equally."""
        given = self.half_lives[max(len(self.half_lives) - self.steps, 0) :]
        return (None,) * (self.steps - len(given)) + given

    @property
    def time_decay_of_steps(self) -> tuple[float, ...]:
        """The decay by time of every inner step."""
        given = self.time_decays[max(len(self.time_decays) - self.steps, 0) :]
        return (0.0,) * (self.steps - len(given)) + given


Bound = Annotated[float, AllowInfNan(True)]
COMM = r"none|sparse|fp16|bf16|(?:powersgd|local-sgd):[1-9][0-9]*"
COMM_KINDS = "none, sparse, fp16, bf16, powersgd:RANK, local-sgd:STEPS"


class MetaTrainConfig(Section):
    """The outer loop: meta-training of theta, phi and alpha."""

    users_per_batch: int = Field(32, ge=1, description="users per meta-batch")
    query_size: int = Field(15, ge=1, description="maximum query rows per user in training")
    support_boundary: Literal["random", "start"] = Field(
        "random",
        description="warm: where an episode's support set ends within the window early to "
        "train: random (at a random row) or start (where the window starts, so that "
        "the base models were trained on the whole support set)",
    )
    epochs: int = Field(10, ge=1, description="maximum passes over the users")
    patience: int = Field(
        5, ge=1, description="epochs without a lower valid loss before stopping early"
    )
    outer_lr_theta: float = Field(
        0.0,
        ge=0,
        description="Adam's outer learning rate for theta (joint); 0: theta starts as pretrained",
    )
    outer_lr_phi: float = Field(
        0.0,
        ge=0,
        description="Adam's outer learning rate for phi; 0: phi starts as the sample-level "
        "selector's",
    )
    outer_lr_alpha: float = Field(
        0.1,
        ge=0,
        description="Adam's outer learning rate for alpha: the inner rates and the other numbers "
        "of the inner loop and of the residuals",
    )
    keep_sign: bool = Field(
        True, description="learn each inner rate as its start times exp(s), which keeps its sign"
    )
    averaging: float = Field(
        0.95,
        ge=0,
        lt=1,
        description="decay of the moving average, over steps, of all that is learned, which is "
        "validated and kept; 0: no averaging",
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="AdamW's weight decay of phi, except for its embeddings",
    )
    clip_norm: float | None = Field(
        None,
        gt=0,
        description="maximum Euclidean norm of all outer gradients of a step together; larger "
        "ones are scaled down; null: no clipping",
    )
    comm: str | None = Field(
        None,
        description="how distributed workers exchange gradients: none (uncompressed), sparse "
        "(only the touched rows of embedding tables), fp16, bf16, powersgd:RANK or "
        "local-sgd:STEPS; null: sparse",
    )
    rate_bounds: tuple[Bound, Bound] | None = Field(
        None, description="minimum and maximum of the learned inner rates; null: unbounded"
    )

    @field_validator("comm")
    @classmethod
    def _known_comm(cls, comm: str | None) -> str | None:
        if comm is not None and not re.fullmatch(COMM, comm):
            raise ValueError(f"comm: '{comm}' is not one of {COMM_KINDS}")
        return comm

    @field_validator("rate_bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not bounds[0] <= bounds[1]:  # neither is nan
            raise ValueError(f"rate_bounds: expected [minimum, maximum], got {list(bounds)}")
        return bounds


class PaperConfig(Section):
    """The rows metaselector-paper: the published algorithm, without what this project added.

    One rule, plain gradient steps on equally weighted support rows, and an outer loop that learns
    theta, phi and alpha. The paper does not state its settings; these are this project's.
    """

    steps: int = Field(1, ge=1, description="inner gradient steps")
    granularity: Literal["scalar", "tensor", "element"] = Field(
        "tensor", description="as adapt.granularity"
    )
    inner_lr_theta: float = Field(0.1, description="initial inner learning rate of theta")
    inner_lr_phi: float = Field(0.5, description="initial inner learning rate of phi")
    query_size: int = Field(100, ge=1, description="maximum query rows per user in training")
    support_boundary: Literal["random", "start"] = Field(
        "start", description="as meta_train.support_boundary"
    )
    epochs: int = Field(10, ge=1, description="maximum passes over the users")
    patience: int = Field(3, ge=1, description="as meta_train.patience")
    outer_lr_theta: float = Field(1e-4, ge=0, description="Adam's outer learning rate for theta")
    outer_lr_phi: float = Field(5e-4, ge=0, description="Adam's outer learning rate for phi")
    outer_lr_alpha: float = Field(5e-2, ge=0, description="Adam's outer learning rate for alpha")

    @property
    def of_adapt(self) -> dict[str, Any]:
        """The settings of the inner loop."""
        plain = {"half_lives": (), "time_decays": (), "prior_rows": 0.0, "learned_weights": False}
        own = self.model_dump(include={"steps", "granularity", "inner_lr_theta", "inner_lr_phi"})
        none = ResidualsConfig(enabled=False, similarities=())
        rule = {"rule": "meta-sgd", "per_step": False, "support_sizes": (), "residuals": none}
        return plain | own | rule

    @property
    def of_meta_train(self) -> dict[str, Any]:
        """The settings of the outer loop."""
        shared = {"query_size", "support_boundary", "epochs", "patience"}
        rates = {"outer_lr_theta", "outer_lr_phi", "outer_lr_alpha"}
        return self.model_dump(include=shared | rates) | {"keep_sign": False, "averaging": 0.0}

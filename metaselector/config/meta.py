"""Settings of the selector, of adaptation, of meta-training and of evaluation."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AllowInfNan, Field, field_validator, model_validator

from metaselector.config.plugins.kinds import RULES, SELECTORS
from metaselector.config.plugins.registry import checked
from metaselector.config.section import Section

SelectorInput = Literal["fields", "outputs", "disagreement", "support-losses"]


class SelectorConfig(Section):
    kind: str | None = Field(
        None, description="a plug-in or a class in a file; null: the gated network"
    )
    options: dict[str, Any] | None = Field(
        None, description="arguments of a plug-in's constructor that are no settings here"
    )
    inputs: tuple[SelectorInput, ...] = Field(
        ("fields", "outputs"),
        min_length=1,
        description="inputs, in any order: fields (its own embeddings of a row's features), "
        "outputs (the base models' log-odds), disagreement (how far each is from their mean), "
        "support-losses (each one's mean logloss on the user's support before it adapts)",
    )
    embedding_size: int = Field(8, ge=1, description="width of the selector's own embeddings")
    hidden_size: int = Field(32, ge=1, description="width of the gated layer")
    temperature: float = Field(
        1.0, gt=0, description="divides the logits of the weights; higher is closer to uniform"
    )
    uniform_mixing: float = Field(
        0.0, ge=0, lt=1, description="share x of uniform weights: (1 - x) softmax + x / K"
    )
    learning_rate: float = Field(
        1e-3, ge=0, description="Adam's rate for the sample-level selector, from which phi starts"
    )

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str | None) -> str | None:
        return None if kind is None else checked(SELECTORS, kind)

    @field_validator("inputs")
    @classmethod
    def _each_once(cls, inputs: tuple[SelectorInput, ...]) -> tuple[SelectorInput, ...]:
        if len(set(inputs)) < len(inputs):
            raise ValueError("every kind of input once")
        return tuple(kind for kind in get_args(SelectorInput) if kind in inputs)


class AdaptConfig(Section):
    rule: str = Field(
        "meta-sgd",
        description="inner rule: maml, first-order-maml, meta-sgd, a plug-in, or a class in a file",
    )
    granularity: Literal["scalar", "tensor", "element"] = Field(
        "tensor", description="Meta-SGD: one learned rate for all, one a tensor, or one an element"
    )
    steps: int = Field(2, ge=0, description="inner steps")
    per_step: bool = Field(
        True, description="rates of its own for every inner step (granularity scalar or tensor)"
    )
    half_lives: tuple[float | None, ...] = Field(
        (2.0,),
        description="for the last inner steps, how many later rows halve a support row's weight; "
        "null weighs all alike, as the steps before do",
    )
    prior_rows: float = Field(
        0.0,
        ge=0,
        description="a user's support loss counts n / (n + this), n their support rows, so that "
        "few rows move the parameters less",
    )
    engine: Literal["func", "higher", "learn2learn"] = Field(
        "func",
        description="what runs the inner loop, with equal results; func adapts all users at once",
    )
    max_users_per_chunk: int = Field(
        64, ge=1, description="users adapted at a time; bounds memory, changes numbers by rounding"
    )
    inner_dropout: bool = Field(
        False,
        description="apply the base models' dropout while meta-training, with a mask for each user "
        "and pass; predictions never use it",
    )
    support_size: int = Field(40, ge=1, description="latest rows a user adapts on (warm)")
    inner_lr_theta: float = Field(0.1, description="initial inner rate of base-model parameters")
    inner_lr_phi: float = Field(0.5, description="initial inner rate of selector parameters")
    parameters: tuple[str, ...] = Field(
        ("*",), description="shell-style patterns of the parameters that adapt, such as selector.*"
    )
    task_weights: dict[str, float] | None = Field(
        None,
        description="of several tasks, what the loss of each counts by its name, both where users "
        "adapt and where selectors learn; 1 for those not named",
    )
    compared_rules: tuple[Literal["maml", "first-order-maml"], ...] = Field(
        (), description="rules that MetaSelector is trained with as well, a row of the table each"
    )
    finetune_steps: int = Field(5, ge=1, description="steps of the row user-finetuned")
    finetune_rates: tuple[float, ...] = Field(
        (0.01, 0.03, 0.1, 0.3, 1.0),
        min_length=1,
        description="learning rates that user-finetuned chooses from on valid",
    )

    @field_validator("rule")
    @classmethod
    def _known(cls, rule: str) -> str:
        return checked(RULES, rule)

    @model_validator(mode="after")
    def _steps(self) -> AdaptConfig:
        if any(half_life is not None and half_life <= 0 for half_life in self.half_lives):
            raise ValueError(f"half_lives must be positive or null, got {list(self.half_lives)}")
        if len(self.half_lives) > max(self.steps, 1):
            raise ValueError(
                f"half_lives has {len(self.half_lives)} values for {self.steps} steps; give one a "
                "step at most"
            )
        if self.per_step and self.rule == "meta-sgd" and self.granularity == "element":
            raise ValueError("per_step needs granularity scalar or tensor, got element")
        return self

    @property
    def half_life_of_steps(self) -> tuple[float | None, ...]:
        """One for every step."""
        given = self.half_lives[: self.steps]
        return (None,) * (self.steps - len(given)) + given


Bound = Annotated[float, AllowInfNan(True)]
COMM = r"none|sparse|fp16|bf16|(?:powersgd|local-sgd):[1-9][0-9]*"
COMM_KINDS = "none, sparse, fp16, bf16, powersgd:RANK, local-sgd:STEPS"


class MetaTrainConfig(Section):
    users_per_batch: int = Field(32, ge=1, description="users sampled a step")
    query_size: int = Field(100, ge=1, description="most query rows a user in training")
    support_boundary: Literal["random", "start"] = Field(
        "start",
        description="where an episode's support ends in the window early to train (warm): at a "
        "random row, or at its start, so that the base models know all of the support",
    )
    epochs: int = Field(10, ge=1, description="most passes over the users")
    patience: int = Field(3, ge=1, description="epochs without a better valid loss before stopping")
    outer_lr_theta: float = Field(1e-4, ge=0, description="outer Adam's rate for theta (joint)")
    outer_lr_phi: float = Field(5e-4, ge=0, description="outer Adam's rate for phi")
    outer_lr_alpha: float = Field(5e-2, ge=0, description="outer Adam's rate for alpha")
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="pulls phi, but for its embeddings, towards 0 by this times its rate a step "
        "(AdamW)",
    )
    clip_norm: float | None = Field(
        None,
        gt=0,
        description="the outer gradients of a step, all together, are shrunk to this Euclidean "
        "norm; null: never",
    )
    comm: str | None = Field(
        None,
        description="how several workers exchange gradients: none (all of them), sparse (of tables "
        "the touched rows alone), fp16, bf16, powersgd:RANK or local-sgd:STEPS; null: sparse",
    )
    rate_bounds: tuple[Bound, Bound] | None = Field(
        None, description="least and largest inner learning rate alpha can learn; null: any"
    )

    @field_validator("comm")
    @classmethod
    def _known_comm(cls, comm: str | None) -> str | None:
        if comm is not None and not re.fullmatch(COMM, comm):
            raise ValueError(f"comm: '{comm}' is none of {COMM_KINDS}")
        return comm

    @field_validator("rate_bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not bounds[0] <= bounds[1]:  # neither is nan
            raise ValueError(f"rate_bounds: the least comes first, got {list(bounds)}")
        return bounds

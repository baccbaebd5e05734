"""Settings of the inner loop: how a user's support set adapts the parameters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from metaselector.config.plugins.kinds import RULES, SIMILARITIES
from metaselector.config.plugins.registry import checked
from metaselector.config.section import Section


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

    @field_validator("similarities")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked(SIMILARITIES, name) for name in names)


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
        128,
        ge=1,
        description="users adapted at once; limits memory, and affects results only by rounding",
    )
    inner_dropout: bool = Field(
        False,
        description="apply the base models' dropout in meta-training, with a separate mask per "
        "user and pass; predictions never use dropout",
    )
    support_size: int = Field(
        40, ge=1, description="warm and global: most recent rows that a user adapts on"
    )
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
        5, ge=1, description="gradient steps of the baseline user-finetuned-plain"
    )
    finetune_rates: tuple[float, ...] = Field(
        (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
        min_length=1,
        description="learning rates that the baseline user-finetuned-plain selects from on valid",
    )
    finetune_users: int = Field(
        10_000,
        ge=1,
        description="most users of valid, drawn at random, on which all settings of the baseline "
        "user-finetuned are chosen: its search adapts fewer than 2,000 of them about 200 times; of "
        "more, it does so with 1,000, and then adapts all about 25 times",
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

"""All settings of a run, with their defaults, units and meanings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from metaselector.common.text import shown
from metaselector.config.adapt import AdaptConfig
from metaselector.config.data import (
    ColdConfig,
    DataConfig,
    SplitConfig,
    WindowsConfig,
    default_data,
)
from metaselector.config.evaluate import EvaluateConfig
from metaselector.config.meta import MetaTrainConfig, PaperConfig
from metaselector.config.models import BaseModelConfig, default_base_models
from metaselector.config.plugins.kinds import TRACKERS
from metaselector.config.plugins.registry import checked
from metaselector.config.section import Section
from metaselector.config.selector import SelectorConfig
from metaselector.config.training import CheckpointConfig, PeerLearningConfig, TransferConfig

LONGEST_NAME = 200
"""Maximum characters of a base model's name, which becomes part of a file name."""


TABLE_ROWS = (
    "uniform",
    "convex",
    "stacking-logistic",
    "stacking-lightgbm",
    "stacking-lightgbm-features",
    "sample-selector",
    "user-best",
    "user-exponential",
    "user-bias",
    "user-finetuned-plain",
    "user-finetuned",
    "user-finetuned-residuals",
    "metaselector-paper-simplified",
    "metaselector-paper",
    "metaselector-untrained",
    "metaselector-simplified-maml",
    "metaselector-simplified-first-order-maml",
    "metaselector-simplified",
    "metaselector-maml",
    "metaselector-first-order-maml",
    "metaselector",
    "oracle-sample",
    "oracle-user",
    "headroom",
    "chance",
)
"""Rows of the results table that combine base models, in table order."""


def base_models_of(described: Mapping[str, Any]) -> dict[str, BaseModelConfig]:
    """Validated settings of each base model, by name."""
    return {name: BaseModelConfig.model_validate(model) for name, model in described.items()}


class Config(Section):
    """All settings of a run."""

    dataset: str = Field(
        "movielens-100k",
        description="name of the data set; `metaselector reproduce --help` lists them",
    )
    protocol: Literal["warm", "cold", "global"] = Field(
        "warm",
        description="warm: predict later rows of users whose earlier rows the base models were "
        "trained on; cold: predict users that the base models have never seen; global: train on "
        "everybody's rows before a date, predict the rows after it",
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(
        (0,), min_length=1, description="random seeds; the whole pipeline runs once per seed"
    )
    device: str = Field("cpu", description="torch device: cpu, or cuda (untested)")
    threads: int = Field(2, ge=1, le=1024, description="number of CPU threads that torch uses")
    jobs: int = Field(
        1,
        ge=1,
        le=1024,
        description="processes in which `reproduce` trains models, windows and seeds side by side; "
        "with more than one, each process uses one thread, whatever threads says",
    )
    data: DataConfig = Field(default_factory=lambda given: default_data(given["dataset"]))
    split: SplitConfig = Field(default_factory=SplitConfig)
    cold: ColdConfig = Field(default_factory=ColdConfig)
    base_models: dict[str, BaseModelConfig] = Field(
        default_factory=lambda given: base_models_of(default_base_models(given["dataset"])),
        min_length=1,
        description="base models by name; their order is the order of the selector's inputs, so "
        "listing them in another order changes results as another seed does",
    )
    transfer: TransferConfig = Field(default_factory=TransferConfig)
    peer_learning: PeerLearningConfig = Field(default_factory=PeerLearningConfig)
    selector: SelectorConfig = Field(default_factory=SelectorConfig)
    adapt: AdaptConfig = Field(default_factory=AdaptConfig)
    meta_train: MetaTrainConfig = Field(default_factory=MetaTrainConfig)
    paper: PaperConfig = Field(default_factory=PaperConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    tracking: tuple[str, ...] = Field(
        (),
        description="where losses and rates are logged in addition to logs/training.jsonl: "
        "tensorboard, mlflow, wandb, a plug-in, or path/to/file.py:Class",
    )

    @property
    def threads_of_process(self) -> int:
        """Number of CPU threads of each process."""
        return self.threads if self.jobs == 1 else 1

    @property
    def percentages(self) -> WindowsConfig:
        """The protocol's split: of each user's rows (warm), users (cold) or all rows (global)."""
        return self.cold if self.protocol == "cold" else self.split

    @property
    def taught(self) -> tuple[str, ...]:
        """Names of the base models in peer learning; precomputed scores take no part."""
        if self.peer_learning.strategy == "independent":
            return ()
        return tuple(name for name, model in self.base_models.items() if not model.gives_scores)

    @property
    def cold_seed(self) -> int | None:
        """Random seed of the split of users; None for the warm protocol."""
        return self.cold.split_seed if self.protocol == "cold" else None

    @property
    def by_date(self) -> bool:
        """Whether the windows of all users end at the same dates."""
        return self.protocol == "global"

    @field_validator("split")
    @classmethod
    def _dates_are_used(cls, split: SplitConfig, info: ValidationInfo) -> SplitConfig:
        if split.dates is not None and info.data.get("protocol") != "global":
            raise ValueError("only protocol=global splits by date; set it, or omit the dates")
        return split

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is listed twice; list each once")
        return seeds

    @field_validator("tracking")
    @classmethod
    def _known(cls, tracking: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked(TRACKERS, name) for name in tracking)

    @field_validator("base_models")
    @classmethod
    def _usable_names(cls, models: dict[str, BaseModelConfig]) -> dict[str, BaseModelConfig]:
        # A name becomes a file name, part of a parameter name, and a row of the table.
        for name in models:
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name):
                raise ValueError(
                    f"{shown(name)}: use letters, digits, _ and - in a base model's name"
                )
            if len(name) > LONGEST_NAME:
                raise ValueError(f"{shown(name)}: has more than {LONGEST_NAME} characters")
            if name in TABLE_ROWS or name.endswith("-train"):
                raise ValueError(f"'{name}' is the name of another row of the results table")
        return models

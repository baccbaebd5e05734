"""Settings of data and how it is split."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pydantic import Field, field_validator, model_validator

from metaselector.config.section import Section


class DataConfig(Section):
    """How raw rows become labels and features."""

    label_threshold: float = Field(4.0, description="ratings of at least this are positive")
    history_length: int = Field(
        20, ge=1, le=10_000, description="most recent positives kept as history slots"
    )
    min_count: int = Field(
        1, ge=1, description="words in fewer training rows than this are encoded as unseen"
    )
    drop_short_users: bool = Field(
        False, description="drop users with a single row instead of stopping with an error"
    )
    min_user_rows: int = Field(
        1, ge=1, description="drop users with fewer rows than this, counted without repeated rows"
    )


OF_DATASETS: dict[str, dict[str, Any]] = {
    "movietweetings": {"label_threshold": 8.0, "min_user_rows": 20}
}
"""Defaults of data sets that differ from those of :class:`DataConfig`, by name."""


def default_data(dataset: str) -> DataConfig:
    """Default settings of the data for the data set called `dataset`."""
    return DataConfig.model_validate(OF_DATASETS.get(dataset, {}))


class SplitConfig(Section):
    """The warm protocol: where each user's windows end, in time order."""

    early: int = Field(
        60, gt=0, lt=100, description="percent of a user's rows that the early base models train on"
    )
    train: int = Field(
        80, gt=0, lt=100, description="percent of a user's rows where the train window ends"
    )
    valid: int = Field(
        90,
        gt=0,
        lt=100,
        description="percent of a user's rows where the valid window ends; the rest is the test "
        "window",
    )

    @model_validator(mode="after")
    def _ordered(self) -> SplitConfig:
        if not self.early < self.train < self.valid:
            raise ValueError(
                f"early < train < valid must hold, got {self.early}, {self.train}, {self.valid}"
            )
        return self


class ColdConfig(SplitConfig):
    """The cold protocol: how users are split, and their support sizes."""

    early: int = Field(
        60, gt=0, lt=100, description="percent of the users that the early base models train on"
    )
    train: int = Field(
        80, gt=0, lt=100, description="percent of the users where the meta-training users end"
    )
    valid: int = Field(
        90,
        gt=0,
        lt=100,
        description="percent of the users where the validation users end; the rest are test users",
    )
    split_seed: int = Field(0, ge=0, lt=10**16, description="random seed of the split of users")
    support_sizes: tuple[int, ...] = Field(
        (5, 10, 20, 40),
        min_length=1,
        description="numbers of first rows that a new user adapts on, ascending; each has its "
        "own results table",
    )

    @field_validator("support_sizes")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if sizes[0] < 1 or any(a >= b for a, b in pairwise(sizes)):
            raise ValueError("expected positive sizes in ascending order, each once")
        return sizes

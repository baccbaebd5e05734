"""Settings of data and how it is split."""

from __future__ import annotations

from datetime import UTC, datetime
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
        False,
        description="drop users with a single row instead of stopping with an error; global keeps "
        "them",
    )
    min_user_rows: int = Field(
        1,
        ge=1,
        description="drop users with fewer rows than this, counted over all windows without "
        "repeated rows; under the protocol global, that is a choice by later rows",
    )
    min_user_lists: int = Field(
        1,
        ge=1,
        description="in data with lists: drop users with fewer lists than this, as min_user_rows "
        "does by rows",
    )


OF_DATASETS: dict[str, dict[str, Any]] = {
    "movietweetings": {"label_threshold": 8.0, "min_user_rows": 20}
}
"""Defaults of data sets that differ from those of :class:`DataConfig`, by name."""


def default_data(dataset: str) -> DataConfig:
    """Default settings of the data for the data set called `dataset`."""
    return DataConfig.model_validate(OF_DATASETS.get(dataset, {}))


class WindowsConfig(Section):
    """Where the windows of a split end, in percent."""

    early: int = Field(60, gt=0, lt=100, description="where the early window ends")
    train: int = Field(80, gt=0, lt=100, description="where the train window ends")
    valid: int = Field(90, gt=0, lt=100, description="where the valid window ends")

    @model_validator(mode="after")
    def _ordered(self) -> WindowsConfig:
        if not self.early < self.train < self.valid:
            raise ValueError(
                f"early < train < valid must hold, got {self.early}, {self.train}, {self.valid}"
            )
        return self


class SplitConfig(WindowsConfig):
    """Where windows end, in time order: in each user's rows (warm) or in all rows (global)."""

    early: int = Field(
        60,
        gt=0,
        lt=100,
        description="percent of a user's rows (global: of all rows) that the early base models "
        "train on",
    )
    train: int = Field(
        80,
        gt=0,
        lt=100,
        description="percent of a user's rows (global: of all rows) where the train window ends",
    )
    valid: int = Field(
        90,
        gt=0,
        lt=100,
        description="percent of a user's rows (global: of all rows) where the valid window ends; "
        "the rest is the test window",
    )
    dates: tuple[datetime, datetime, datetime] | None = Field(
        None,
        description="global: dates or times (UTC) where early, train and valid end, instead of "
        "percentages, such as [2024-01-01, 2024-03-01, 2024-04-01]",
    )

    @field_validator("dates")
    @classmethod
    def _in_utc(cls, dates: tuple[datetime, ...] | None) -> tuple[datetime, ...] | None:
        if dates is None:
            return None
        found = tuple(
            d.replace(tzinfo=UTC) if d.tzinfo is None else d.astimezone(UTC) for d in dates
        )
        if not found[0] < found[1] < found[2]:
            raise ValueError("expected three dates in ascending order")
        return found


class ColdConfig(WindowsConfig):
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

"""Settings of data, and of how it is parted."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, field_validator, model_validator

from metaselector.config.section import Section


class DataConfig(Section):
    label_threshold: float = Field(4.0, description="a rating at or above it is a positive label")
    history_length: int = Field(
        20, ge=1, le=10_000, description="latest positives kept as history slots"
    )
    min_count: int = Field(
        1, ge=1, description="words in fewer rows of train than this count as unseen"
    )
    drop_short_users: bool = Field(
        False, description="drop users with a single row instead of stopping with an error"
    )


class SplitConfig(Section):
    early: int = Field(
        60, gt=0, lt=100, description="percent of a user's rows that the early base models train on"
    )
    train: int = Field(80, gt=0, lt=100, description="percent of a user's rows where train ends")
    valid: int = Field(
        90, gt=0, lt=100, description="percent of a user's rows where valid ends; the rest is test"
    )

    @model_validator(mode="after")
    def _ordered(self) -> SplitConfig:
        if not self.early < self.train < self.valid:
            raise ValueError(
                f"early < train < valid must hold, got {self.early}, {self.train}, {self.valid}"
            )
        return self


class ColdConfig(SplitConfig):
    early: int = Field(
        60, gt=0, lt=100, description="percent of the users that the early base models train on"
    )
    train: int = Field(
        80, gt=0, lt=100, description="percent of the users where meta-training ones end"
    )
    valid: int = Field(
        90, gt=0, lt=100, description="percent where validation ones end; the rest are test users"
    )
    split_seed: int = Field(0, ge=0, lt=10**16, description="another one splits users otherwise")
    support_sizes: tuple[int, ...] = Field(
        (5, 10, 20, 40),
        min_length=1,
        description="first rows that a new user adapts on, ascending; a table of results each",
    )

    @field_validator("support_sizes")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if sizes[0] < 1 or any(a >= b for a, b in pairwise(sizes)):
            raise ValueError("1 or more rows each, every size once, in ascending order")
        return sizes

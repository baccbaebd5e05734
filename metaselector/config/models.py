"""Settings of base models, and of scores in their place."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from metaselector.config.plugins.from_package import is_dotted
from metaselector.config.plugins.kinds import ESTIMATORS
from metaselector.config.plugins.registry import checked
from metaselector.config.section import Section
from metaselector.config.training import PretrainConfig


class ScoresConfig(Section):
    file: str = Field(
        description="CSV, TSV or Parquet with the columns row (position in the raw file, from 0) "
        "and user (optional, checked), or those of by; {window} in its name stands for early, "
        "train and full"
    )
    column: str = Field("score", description="column of the scores")
    kind: Literal["probability", "logit"] = Field("probability", description="what they are")
    by: tuple[Literal["user", "item", "time"], ...] | None = Field(
        None,
        description="columns that say what a score is of: user and item, and time (seconds since "
        "1970, with a fraction where the data have one) if need be; null: row",
    )

    @field_validator("by")
    @classmethod
    def _pairs(cls, by: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if by is not None and sorted(by) not in (["item", "user"], ["item", "time", "user"]):
            raise ValueError("[user, item] or [user, item, time]")
        return by


class BaseModelConfig(Section):
    model: str | None = Field(
        None,
        description="which base model this is, so that there can be several of one kind, or "
        "path/to/file.py:Class; null: the one of this name",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="arguments of the model's constructor"
    )
    pretrain: PretrainConfig = Field(
        default_factory=PretrainConfig, description="how this model is trained"
    )
    scores: ScoresConfig | None = Field(
        None, description="a file of another system's scores, instead of a model"
    )
    estimator: str | None = Field(
        None,
        description="a class with fit and predict_proba, instead of a model: package.module.Class, "
        "such as lightgbm.LGBMClassifier, a plug-in, or path/to/file.py:Class; it gets the options",
    )

    @model_validator(mode="after")
    def _one_or_the_other(self) -> BaseModelConfig:
        if self.scores is not None and (self.model is not None or self.options):
            raise ValueError("scores stand instead of a model: remove model and options")
        if self.estimator is not None:
            if self.model is not None or self.scores is not None:
                raise ValueError("an estimator stands instead of a model: remove model and scores")
            if self.pretrain != PretrainConfig():
                raise ValueError(
                    "an estimator trains itself: remove pretrain, and call it otherwise than a "
                    "built-in model, whose settings it would start from"
                )
        return self

    @field_validator("estimator")
    @classmethod
    def _known(cls, estimator: str | None) -> str | None:
        if estimator is None or is_dotted(estimator):
            return estimator
        try:
            return checked(ESTIMATORS, estimator)
        except ValueError as error:
            raise ValueError(f"{error}; or give package.module.Class") from error

    @property
    def gives_scores(self) -> bool:
        """Whether it is a column of scores beside the data, and so never adapts."""
        return self.scores is not None or self.estimator is not None

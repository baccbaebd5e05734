"""Settings of base models and their substitutes: score files and estimators."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from metaselector.config.plugins.from_package import is_dotted
from metaselector.config.plugins.kinds import ESTIMATORS
from metaselector.config.plugins.registry import checked
from metaselector.config.section import Section
from metaselector.config.training import PretrainConfig


class ScoresConfig(Section):
    """Another system's scores of the data set's rows."""

    file: str = Field(
        description="CSV, TSV or Parquet file with the columns row (position in the raw file, "
        "from 0) and, optionally, user (checked against the data), or with the "
        "columns of by; {window} in its name is replaced by early, train or full"
    )
    column: str = Field("score", description="column that holds the scores")
    kind: Literal["probability", "logit"] = Field("probability", description="scale of the scores")
    by: tuple[Literal["user", "item", "time"], ...] | None = Field(
        None,
        description="columns that identify the rows scored: user and item, plus time (seconds "
        "since 1970, fractional if the data's times are) if those are ambiguous; "
        "null: row",
    )

    @field_validator("by")
    @classmethod
    def _pairs(cls, by: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if by is not None and sorted(by) not in (["item", "user"], ["item", "time", "user"]):
            raise ValueError("expected [user, item] or [user, item, time]")
        return by


class BaseModelConfig(Section):
    """One entry of ``base_models``: a model, a file of scores or an estimator."""

    model: str | None = Field(
        None,
        description="name of the base model or path/to/file.py:Class, so that several entries "
        "can share one model; null: the model that the entry is named after",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="constructor arguments of the model"
    )
    pretrain: PretrainConfig = Field(
        default_factory=PretrainConfig, description="how this model is trained"
    )
    scores: ScoresConfig | None = Field(
        None, description="a file of another system's scores, used instead of a model"
    )
    estimator: str | None = Field(
        None,
        description="class with fit and predict_proba, used instead of a model: "
        "package.module.Class, such as lightgbm.LGBMClassifier, a plug-in, or "
        "path/to/file.py:Class; constructed with options",
    )

    @model_validator(mode="after")
    def _one_or_the_other(self) -> BaseModelConfig:
        if self.scores is not None and (self.model is not None or self.options):
            raise ValueError("scores replace the model: remove model and options")
        if self.estimator is not None:
            if self.model is not None or self.scores is not None:
                raise ValueError("an estimator replaces the model: remove model and scores")
            if self.pretrain != PretrainConfig():
                raise ValueError(
                    "an estimator trains itself: remove pretrain, and do not name the entry after "
                    "a built-in model, whose pretrain settings it would inherit"
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
        """Whether it contributes precomputed scores, which never adapt."""
        return self.scores is not None or self.estimator is not None


def _decay(weight_decay: float) -> dict[str, float]:
    """Chosen on MovieLens-100K."""
    return {"weight_decay": weight_decay, "weight_decay_rows": 100_000}


SINGLE_TASK: dict[str, dict[str, Any]] = {
    "lr": {"pretrain": _decay(1e-5)},
    "fm": {"pretrain": _decay(1e-4)},
    "deepfm": {"options": {"dropout": 0.2}, "pretrain": _decay(2e-4)},
    "additive": {"pretrain": _decay(2e-5)},
    "itemknn": {"options": {"embedding_size": 8}, "pretrain": _decay(3e-5)},
}
"""Default base models of single-task data sets, written as in a configuration file. They err in
different ways, so that there is something to select. The set was chosen on the valid windows of
MovieLens-100K and MovieTweetings, the settings of each model on that of MovieLens-100K."""
MULTI_TASK: dict[str, dict[str, Any]] = {"shared-bottom": {}, "mmoe": {}, "ple": {}}
"""Default base models of multi-task data sets."""
OF_DATASETS = {"movielens-100k-funnel": MULTI_TASK, "census-income": MULTI_TASK}
"""Multi-task data sets, by name; all others have single-task models."""
MODEL_DEFAULTS = SINGLE_TASK | MULTI_TASK
"""Defaults that a model's given settings override, on any data set."""


def default_base_models(dataset: str) -> dict[str, dict[str, Any]]:
    """Settings of each base model, by name, for the data set called `dataset`."""
    return OF_DATASETS.get(dataset, SINGLE_TASK)

"""Settings of the selector."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from metaselector.config.plugins.kinds import SELECTORS
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

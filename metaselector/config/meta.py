"""Settings of the outer loop, and of the rows that follow the published algorithm."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal

from pydantic import AllowInfNan, Field, field_validator

from metaselector.config.adapt import ResidualsConfig
from metaselector.config.section import Section

Bound = Annotated[float, AllowInfNan(True)]
COMM = r"none|sparse|fp16|bf16|(?:powersgd|local-sgd):[1-9][0-9]*"
COMM_KINDS = "none, sparse, fp16, bf16, powersgd:RANK, local-sgd:STEPS"


class MetaTrainConfig(Section):
    """The outer loop: meta-training of theta, phi and alpha."""

    users_per_batch: int = Field(32, ge=1, description="users per meta-batch")
    query_size: int = Field(15, ge=1, description="maximum query rows per user in training")
    support_boundary: Literal["random", "start"] = Field(
        "random",
        description="warm and global: where an episode's support set ends within the window early "
        "to train: random (at a random row) or start (where the window starts, so that "
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
            names = [kind.split(":")[0] for kind in COMM_KINDS.split(", ")]
            near = difflib.get_close_matches(comm.partition(":")[0], names, n=1)
            raise ValueError(
                f"must be one of {COMM_KINDS}" + (f"; did you mean '{near[0]}'?" if near else "")
            )
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
    theta, phi and alpha. The paper's settings could not be consulted; these are this project's.
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

"""Settings of evaluation."""

from __future__ import annotations

from pydantic import Field, field_validator

from metaselector.config.plugins.kinds import METRICS
from metaselector.config.plugins.registry import checked
from metaselector.config.section import Section


class EvaluateConfig(Section):
    resamples: int = Field(
        10_000, ge=1, description="user-bootstrap resamples behind intervals and p-values"
    )
    metrics: tuple[str, ...] = Field(
        (), description="plug-ins or functions in files, each a column more of results.csv"
    )

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for name in metrics:
            if name in METRICS.built_in:
                raise ValueError(f"'{name}' is in the table anyway")
        return tuple(checked(METRICS, name) for name in metrics)

"""Settings of evaluation."""

from __future__ import annotations

from pydantic import Field, field_validator

from metaselector.config.plugins.kinds import METRICS
from metaselector.config.plugins.registry import checked
from metaselector.config.section import Section


class EvaluateConfig(Section):
    """Metrics and confidence intervals."""

    resamples: int = Field(
        10_000, ge=1, description="bootstrap resamples of users for intervals and p-values"
    )
    max_users: int | None = Field(
        None,
        ge=1,
        description="most users of valid, and of test, on whom selectors are validated and all "
        "rows are measured, drawn at random; null: all",
    )
    metrics: tuple[str, ...] = Field(
        (),
        description="additional metrics, plug-ins or path/to/file.py:function; each is a column "
        "of results.csv",
    )

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for name in metrics:
            if name in METRICS.built_in:
                raise ValueError(f"'{name}' is built in and always reported; remove it")
        return tuple(checked(METRICS, name) for name in metrics)

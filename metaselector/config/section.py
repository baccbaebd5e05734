"""The base class of all sections of the settings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationInfo,
    field_validator,
)

LARGEST_FLOAT = 3e38
"""Largest magnitude of a setting: just below the largest 32-bit float."""

LARGEST_INT = 2**31 - 1
"""Largest magnitude of an integer setting except seeds: counts may become 32-bit integers."""


class Section(BaseModel):
    """Settings that belong together: immutable, unknown keys are errors, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Show the settings that differ from their defaults."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            default = field.get_default(call_default_factory=True, validated_data=self.__dict__)
            if field.is_required() or value != default:
                yield name, value

    @field_validator("*", mode="before")
    @classmethod
    def _reject_booleans_as_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = str(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool) and ("int" in kinds or "float" in kinds):
            raise ValueError("must be a number, not true or false")
        return value

    @field_validator("*")
    @classmethod
    def _fits_a_tensor(cls, value: Any, info: ValidationInfo) -> Any:
        for number in (*value,) if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and "seed" not in str(info.field_name):
                if not -LARGEST_INT <= number <= LARGEST_INT:
                    raise ValueError(f"must be at most {LARGEST_INT:,}")
            elif isinstance(number, float) and LARGEST_FLOAT < abs(number) < math.inf:
                raise ValueError(f"must be at most {LARGEST_FLOAT:g}")
        return value

"""What all sections of the settings share."""

from __future__ import annotations

import math
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationInfo,
    field_validator,
)

LARGEST_FLOAT = 3e38


LARGEST = 2**31 - 1
"""Of whole numbers, but for seeds: sizes and counts become 32-bit integers somewhere."""


class Section(BaseModel):
    """Settings that belong together: frozen, with no others than those named, numbers finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = str(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool) and ("int" in kinds or "float" in kinds):
            raise ValueError("a number, not true or false")
        return value

    @field_validator("*")
    @classmethod
    def _fits_a_tensor(cls, value: Any, info: ValidationInfo) -> Any:
        for number in (*value,) if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and "seed" not in str(info.field_name):
                if not -LARGEST <= number <= LARGEST:
                    raise ValueError(f"at most {LARGEST:,}")
            elif isinstance(number, float) and LARGEST_FLOAT < abs(number) < math.inf:
                raise ValueError(f"at most {LARGEST_FLOAT:g}")
        return value

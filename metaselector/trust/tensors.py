"""Tensors of a file, held against those of the model that they are meant for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from metaselector.errors import nearest


def misfit(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """The first difference in names, shapes and types, or None."""
    for name in expected:
        if name not in found:
            return f"has no '{name}'"
    for name, tensor in found.items():
        if name not in expected:
            near = nearest(name, expected) if expected else "there should be none"
            return f"has '{name}', which its settings do not ask for; {near}"
        wanted = expected[name]
        if list(tensor.shape) != list(wanted.shape):
            return f"'{name}' has shape {list(tensor.shape)}, not {list(wanted.shape)}"
        if tensor.dtype != wanted.dtype:
            return f"'{name}' is {_name(tensor.dtype)}, not {_name(wanted.dtype)}"
    return None


def misfit_unbuilt(found: Mapping[str, Tensor], make: Callable[[], nn.Module]) -> str | None:
    """:func:`misfit` to the state of the model that `make` makes, without memory for its numbers.

    Settings that ask for more than a file holds are so found out before anything is allocated. A
    model whose constructor needs numbers passes, and is compared when it is there.
    """
    try:
        with torch.device("meta"):
            expected = make().state_dict()
    except (RuntimeError, NotImplementedError):
        return None
    return misfit(found, expected)


def nonfinite(found: Mapping[str, Tensor], expected: Mapping[str, Tensor] = {}) -> str | None:
    """The first tensor that holds a non-finite number, or None.

    Args:
        expected: those of the model before it was trained; a non-finite number where they have
            some, as a mask may, is none of training's.
    """
    for name, tensor in found.items():
        if not is_finite(tensor) and (name not in expected or is_finite(expected[name])):
            return f"'{name}' holds non-finite numbers"
    return None


def is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are, without a copy of them."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(end.isfinite()) for end in tensor.aminmax())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

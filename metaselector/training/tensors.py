"""Tensors of a file, held against those of the model that they are meant for."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from metaselector.common.errors import ConfigError, nearest


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


class TooLarge(ConfigError):
    """A model asks for more numbers than its file has."""


class Room(TorchFunctionMode):
    """A context in which to build a model for the tensors of a file, with memory for those only.

    Settings that ask for more than the file holds are refused before it is allocated. There is some
    slack for what a constructor needs temporarily, and for buffers that are not saved.

    Args:
        tensors: those of the file.

    Raises:
        TooLarge: the model asks for more.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._left = 4 * sum(tensor.numel() for tensor in tensors.values()) + 2**24

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FACTORIES:
            size = kwargs.get("size", args[:1] if func is torch.full else args)
            while len(size) == 1 and isinstance(size[0], tuple | list):
                (size,) = size
            self._left -= prod(n for n in size if isinstance(n, int))  # torch refuses the others
            if self._left < 0:
                raise TooLarge(
                    f"the settings ask for a tensor of shape {list(size)}, more than the file holds"
                )
        return func(*args, **kwargs)


_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}


def unfit(found: Mapping[str, Tensor], model: nn.Module) -> str | None:
    """Why `found` cannot be the state of `model`, which is new, or None."""
    expected = model.state_dict()
    return misfit(found, expected) or nonfinite(found, expected)


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

"""Compare the tensors of a file with those of the model they are loaded into."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from metaselector.common.errors import ConfigError, nearest
from metaselector.models.kernels.rows import held


def misfit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """The first difference in names, shapes or dtypes, or None."""
    for name in expected:
        if name not in tensors:
            return f"has no '{name}'"
    for name, tensor in tensors.items():
        if name not in expected:
            near = nearest(name, expected) if expected else "no tensor is expected"
            return f"has '{name}', which does not belong to these settings; {near}"
        wanted = expected[name]
        if list(tensor.shape) != list(wanted.shape):
            return f"'{name}' has shape {list(tensor.shape)}, not {list(wanted.shape)}"
        if tensor.dtype != wanted.dtype:
            return f"'{name}' is {_name(tensor.dtype)}, not {_name(wanted.dtype)}"
    return None


class TooLarge(ConfigError):
    """A model needs more values than its file holds."""


class Room(TorchFunctionMode):
    """Context that limits the memory for building a model to the size of a file's tensors.

    Settings that need more are rejected before memory is allocated. Some slack is left for
    temporary tensors of a constructor and for buffers that are not saved.

    Args:
        tensors: the tensors of the file.

    Raises:
        TooLarge: the model needs more.
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
            self._left -= prod(n for n in size if isinstance(n, int))  # torch rejects others
            if self._left < 0:
                raise TooLarge(
                    f"the settings need a tensor of shape {list(size)}, more than the file holds"
                )
        return func(*args, **kwargs)


_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}


def unfit(tensors: Mapping[str, Tensor], model: nn.Module) -> str | None:
    """Why `tensors` cannot be the state of the new `model`, or None."""
    expected = model.state_dict()
    return misfit(tensors, expected) or nonfinite(tensors, expected)


def nonfinite(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor] = {}) -> str | None:
    """The first tensor that holds non-finite numbers, or None.

    Args:
        expected: the model's tensors before training; a tensor that is non-finite there too, such
            as a mask, is accepted.
    """
    for name, tensor in tensors.items():
        if not is_finite(tensor) and (name not in expected or is_finite(expected[name])):
            return f"'{name}' holds non-finite numbers"
    return None


def is_finite(tensor: Tensor) -> bool:
    """Whether all values that this process holds are finite; does not copy them."""
    tensor = held(tensor)
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(end.isfinite()) for end in tensor.aminmax())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

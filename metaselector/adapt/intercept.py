"""Running a model with other implementations of some of torch's functions.

Models are written with torch's own functions. While they adapt, a few of those (see `lookups` and
`factored`) run as something faster, or as something that ``vmap`` and second derivatives can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch._C import _functorch
from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack
from torch.overrides import TorchFunctionMode

Handlers = Mapping[Callable[..., Any], Callable[..., Any]]
"""By function of torch, what is called in its place with the same arguments."""


class UnexpectedUse(Exception):
    """A tensor that only handlers may read went to another function.

    Attributes:
        name: what the tensor is called.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Intercept(TorchFunctionMode):
    """A context in which handlers replace functions of torch.

    Args:
        handlers: the replacements; they run outside of the context.
        guarded: tensors that only handlers may read, by name: :class:`UnexpectedUse` elsewhere.
    """

    def __init__(self, handlers: Handlers, guarded: Mapping[str, Tensor] = {}) -> None:
        super().__init__()
        self._handlers = handlers
        self._guarded = {id(tensor): name for name, tensor in guarded.items()}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        handler = self._handlers.get(func)
        if handler is not None:
            return handler(*args, **(kwargs or {}))
        if self._guarded:
            self._check(args)
            if kwargs:
                self._check(kwargs.values())
        return func(*args, **(kwargs or {}))

    def _check(self, arguments: Iterable[Any]) -> None:
        for argument in arguments:
            if id(argument) in self._guarded:
                raise UnexpectedUse(self._guarded[id(argument)])
            if isinstance(argument, tuple | list):
                self._check(argument)


def behind_vmap(function: Callable[..., Tensor], *tensors: Tensor | None) -> Tensor:
    """``function(per_user, *tensors)`` on the tensors as they are behind ``vmap``.

    `per_user` says of each tensor whether its first axis are the users; under ``vmap`` that of the
    result must be. Outside of ``vmap``, nothing is per user.

    It does what the batching rule of a ``torch.autograd.Function`` would, in a tenth of the time,
    which counts where users have few rows.
    """
    level = _functorch.maybe_current_level()
    if level is None:
        return function((False,) * len(tensors), *tensors)
    with temporarily_pop_interpreter_stack():
        unwrapped = [_unwrap(tensor, level) for tensor in tensors]
        per_user = tuple(own for _, own in unwrapped)
        result = function(per_user, *(tensor for tensor, _ in unwrapped))
    return _functorch._add_batch_dim(result, 0, level)


def in_vmap(tensor: Tensor) -> bool:
    """Whether each user has a `tensor` of their own."""
    return _functorch.is_batchedtensor(tensor)


def _unwrap(tensor: Tensor | None, level: int) -> tuple[Tensor | None, bool]:
    if tensor is None or _functorch.maybe_get_level(tensor) != level:
        return tensor, False
    axis = _functorch.maybe_get_bdim(tensor)
    plain = _functorch.get_unwrapped(tensor)
    return (plain if axis == 0 else plain.movedim(axis, 0)), True

"""Run a model with other implementations of some of torch's functions.

Models are written with torch's own functions. While they adapt, a few of those (see `lookups` and
`factored`) are replaced by faster ones, or by ones that work with ``vmap`` and second derivatives.

No other module uses private names of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_private: Any = None
"""Torch's private functions on the tensors of ``vmap``; None where a name is missing."""
_NAMES = (
    "_add_batch_dim",
    "get_unwrapped",
    "is_batchedtensor",
    "maybe_current_level",
    "maybe_get_bdim",
    "maybe_get_level",
)
try:
    from torch._C import _functorch
    from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack as _outside_vmap
except ImportError:  # pragma: no cover
    pass
else:
    if all(hasattr(_functorch, name) for name in _NAMES):
        _private = _functorch

Handlers = Mapping[Callable[..., Any], Callable[..., Any]]
"""For each function of torch, what is called in its place with the same arguments."""


_SEQUENCES = (tuple, list)  # isinstance takes six times as long with `tuple | list`


class UnexpectedUse(Exception):
    """A guarded tensor was passed to a function that does not know it.

    Attributes:
        name: the name of the tensor.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Intercept(TorchFunctionMode):
    """A context in which handlers replace functions of torch.

    Args:
        handlers: the replacements; they run outside the context.
        guarded: tensors that only `readers` may read, by name; others raise
            :class:`UnexpectedUse`.
        readers: the functions whose handlers know the guarded tensors.
    """

    def __init__(
        self,
        handlers: Handlers,
        guarded: Mapping[str, Tensor] = {},
        readers: Collection[Callable[..., Any]] = (),
    ) -> None:
        super().__init__()
        self._handlers = handlers
        self._readers = readers
        self._guarded = {id(tensor): name for name, tensor in guarded.items()}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if self._guarded and func not in self._readers:
            self._check(args)
            if kwargs:
                self._check(kwargs.values())
        return self._handlers.get(func, func)(*args, **(kwargs or {}))

    def _check(self, arguments: Iterable[Any]) -> None:
        for argument in arguments:
            if id(argument) in self._guarded:
                raise UnexpectedUse(self._guarded[id(argument)])
            if isinstance(argument, _SEQUENCES):
                self._check(argument)


def behind_vmap(
    function: Callable[..., Tensor], *tensors: Tensor | None, always_per_user: bool = False
) -> Tensor:
    """``function(per_user, *tensors)`` on the tensors as they are behind ``vmap``.

    `per_user` tells for each tensor whether its first axis is that of the users. The result must
    have that axis where any tensor has it, or always if `always_per_user`. Outside of ``vmap``,
    nothing is per user.

    This does what the batching rule of a ``torch.autograd.Function`` would, in a tenth of the time,
    which matters if users have few rows. If torch lacks the private names, such a rule does it.

    Raises:
        RuntimeError: `always_per_user` with a torch that lacks the private names.
    """
    if _private is None:
        if always_per_user:
            raise RuntimeError("always_per_user needs names that this version of torch lacks")
        return _by_rule(function, *tensors)
    level = _private.maybe_current_level()
    if level is None:
        return function((False,) * len(tensors), *tensors)
    with _outside_vmap():
        unwrapped = [_unwrap(tensor, level) for tensor in tensors]
        per_user = tuple(own for _, own in unwrapped)
        result = function(per_user, *(tensor for tensor, _ in unwrapped))
    if not any(per_user) and not always_per_user:
        return result
    return _private._add_batch_dim(result, 0, level)


def has_private_names() -> bool:
    """Whether this version of torch has the private names for the fast way."""
    return _private is not None


def in_vmap(tensor: Tensor) -> bool:
    """Whether each user has a `tensor` of their own."""
    return _peek(tensor)[0]


def needs_grad(tensor: Tensor) -> bool:
    """``tensor.requires_grad``, which under ``vmap`` is False for what is each user's own."""
    return _peek(tensor)[1].requires_grad


def _peek(tensor: Tensor) -> tuple[bool, Tensor]:
    """Whether each user has a `tensor` of their own, and the tensor behind ``vmap``."""
    if _private is not None:
        own = _private.is_batchedtensor(tensor)
        return own, _private.get_unwrapped(tensor) if own else tensor
    seen: list[tuple[bool, Tensor]] = []

    def look(per_user: tuple[bool, ...], plain: Tensor) -> Tensor:
        seen.append((per_user[0], plain))
        return plain

    _by_rule(look, tensor)
    return seen[0]


def _unwrap(tensor: Tensor | None, level: int) -> tuple[Tensor | None, bool]:
    if tensor is None or _private.maybe_get_level(tensor) != level:
        return tensor, False
    axis = _private.maybe_get_bdim(tensor)
    plain = _private.get_unwrapped(tensor)
    return (plain if axis == 0 else plain.movedim(axis, 0)), True


def _by_rule(function: Callable[..., Tensor], *tensors: Tensor | None) -> Tensor:
    """:func:`behind_vmap` by torch's public names alone."""
    records_grad, found = torch.is_grad_enabled(), []

    def run(per_user: tuple[bool, ...], *plain: Tensor | None) -> Tensor:
        with torch.set_grad_enabled(records_grad):
            found.append((any(per_user), function(per_user, *plain)))
        return found[-1][1]

    result = _Rule.apply(run, *tensors)
    own, plain = found[0]
    return result if own else plain


class _Rule(torch.autograd.Function):
    """Calls a function on the tensors behind ``vmap``.

    If none is per user, torch calls `forward`, outside of ``vmap`` and without gradients. The
    function then hands over its result itself.
    """

    @staticmethod
    def forward(function: Callable[..., Tensor], *tensors: Tensor | None) -> Tensor:
        function((False,) * len(tensors), *tensors)
        return torch.zeros(())

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        pass

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], function: Any, *tensors: Tensor | None
    ) -> tuple[Tensor, int]:
        axes = in_dims[1:]
        plain = (
            tensor if tensor is None or axis is None else tensor.movedim(axis, 0)
            for tensor, axis in zip(tensors, axes, strict=True)
        )
        return function(tuple(axis is not None for axis in axes), *plain), 0

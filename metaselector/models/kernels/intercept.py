"""Running a model with other implementations of some of torch's functions.

Models are written with torch's own functions. While they adapt, a few of those (see `lookups` and
`factored`) run as something faster, or as something that ``vmap`` and second derivatives can do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch._C import _functorch
from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack
from torch.overrides import TorchFunctionMode

Handlers = Mapping[Callable[..., Any], Callable[..., Any]]
"""By function of torch, what is called in its place with the same arguments."""


class UnexpectedUse(Exception):
    """A guarded tensor went to a function that does not know it.

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
        guarded: tensors that only `readers` may read, by name: :class:`UnexpectedUse` elsewhere.
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
            if isinstance(argument, tuple | list):
                self._check(argument)


def behind_vmap(
    function: Callable[..., Tensor], *tensors: Tensor | None, always_per_user: bool = False
) -> Tensor:
    """``function(per_user, *tensors)`` on the tensors as they are behind ``vmap``.

    `per_user` says of each tensor whether its first axis are the users. That of the result must be
    where any tensor's is, or always if so said. Outside of ``vmap``, nothing is per user.

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
    if not any(per_user) and not always_per_user:
        return result
    return _functorch._add_batch_dim(result, 0, level)


def in_vmap(tensor: Tensor) -> bool:
    """Whether each user has a `tensor` of their own."""
    return _functorch.is_batchedtensor(tensor)


def needs_grad(tensor: Tensor) -> bool:
    """``tensor.requires_grad``, which under ``vmap`` is False for what is each user's own."""
    return (_functorch.get_unwrapped(tensor) if in_vmap(tensor) else tensor).requires_grad


def _unwrap(tensor: Tensor | None, level: int) -> tuple[Tensor | None, bool]:
    if tensor is None or _functorch.maybe_get_level(tensor) != level:
        return tensor, False
    axis = _functorch.maybe_get_bdim(tensor)
    plain = _functorch.get_unwrapped(tensor)
    return (plain if axis == 0 else plain.movedim(axis, 0)), True

"""Record the operations of a function of tensors, and replay them.

An inner step for few users is some hundred small operations. Much of its time goes into what
launches them: Python, ``vmap``, and autograd. They launch the same ones in every call with tensors
of the same shapes. So a function that is called often is recorded once, as a flat list of torch's
operations with gradients spelled out, and then replayed. The numbers are the same: a replay runs
the same operations, without those that repeat others or that nothing reads.

What cannot be recorded runs as before. That is a function with random numbers, or one that looks at
the values of tensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from metaselector.models.kernels.operations import divided, operations
from metaselector.models.kernels.trees import Tree, flatten, unflatten

Function = Callable[[Tree, Tree], Tree]
"""A function of two trees, given and fixed. What it reads besides them must never change."""
OURS = ("torch", "metaselector", "base_models")
"""The packages whose modules are recorded."""
CALLS = 300
"""Calls with the same shapes before a recording, which takes about as long as this many saves."""


class Fixed:
    """Tensors that several calls share, such as the rows of a batch.

    What depends on them alone is computed once.

    Args:
        tree: the tensors, which must not change.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.tensors, self.spec = flatten(tree)
        self.known: dict[Recording, Sequence[Tensor]] = {}

    @cached_property
    def digest(self) -> bytes:
        """Of all values."""
        found = hashlib.blake2b()
        for tensor in self.tensors:
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.digest()


class Recorder:
    """Calls functions, and records those that are called often.

    A recording is trusted only after its replay has given the function's own results, once for the
    same and once for other fixed tensors.

    Args:
        calls: how many calls with the same shapes are made before a recording.

    Attributes:
        refused: why functions were not recorded, by their name.
        replays: how many calls were replayed.

    Example:
        >>> recorder = Recorder(calls=1)
        >>> for x in torch.arange(4.0).split(1):
        ...     found = recorder("product", lambda given, fixed: given * fixed, x, Fixed(x + 1))
        >>> found, recorder.replays
        (tensor([12.]), 1)
    """

    def __init__(self, calls: int = CALLS) -> None:
        self._calls = calls
        self._counts: dict[Hashable, int] = {}
        self._made: dict[Hashable, Recording] = {}
        self._busy = False
        self.refused: dict[Hashable, str] = {}
        self.replays = 0

    @torch.no_grad()
    def __call__(
        self,
        name: Hashable,
        function: Function,
        given: Tree,
        fixed: Fixed,
        plain: Callable[[], Tree] | None = None,
        constants: Sequence[Tensor] = (),
    ) -> Tree:
        """``function(given, fixed.tree)``, without gradients.

        Args:
            name: of the function; the same for functions that do the same.
            plain: another way to the same results, which may look at values; by default the
                function itself.
            constants: tensors that the function reads besides; they must not change.
        """
        plain = plain or (lambda: function(given, fixed.tree))
        if self._busy:  # inside of a function that may be recorded
            return plain()
        tensors, spec = flatten(given)
        key = name, spec, fixed.spec, _shapes(tensors), _shapes(fixed.tensors)
        self._busy = True
        try:
            count = self._counts[key] = self._counts.get(key, 0) + 1
            if count == self._calls + 1:
                try:
                    self._made[key] = Recording(function, spec, tensors, fixed, constants)
                except Exception as error:  # whatever it is, the function itself still works
                    self.refused[name] = str(error)
            recording = self._made.get(key)
            if recording is not None and recording.trusts(fixed):
                self.replays += 1
                return recording(tensors, fixed)
            found = plain()
            if recording is not None:
                try:
                    why = None if recording.check(tensors, fixed, found) else "other results"
                except Exception as error:  # as above
                    why = str(error)
                if why is not None:
                    self.refused[name] = f"a replay gave {why}"
                    del self._made[key]
            return found
        finally:
            self._busy = False


def recordable(model: nn.Module) -> bool:
    """Whether passes of `model` read nothing that may change but tensors.

    That is known of the modules of torch and of this project. Another's may count its calls, say,
    and a replay would not.
    """
    return all(type(module).__module__.split(".")[0] in OURS for module in model.modules())


class Recording:
    """The operations of a function for tensors of certain shapes.

    Args:
        function, given, fixed, constants: as for :class:`Recorder`.
        spec: of the tree of the tensors `given`.

    Raises:
        NotRecordable: its operations may not be the same in every call.
    """

    def __init__(
        self,
        function: Function,
        spec: Hashable,
        given: Sequence[Tensor],
        fixed: Fixed,
        constants: Sequence[Tensor],
    ) -> None:
        self._spec: Hashable = None

        def flat(*tensors: Tensor) -> list[Tensor]:
            some = unflatten(spec, iter(tensors[: len(given)]))
            found = function(some, unflatten(fixed.spec, iter(tensors[len(given) :])))
            leaves, self._spec = flatten(found)
            return leaves

        inputs = [tensor.detach() for tensor in (*given, *fixed.tensors)]
        whole = operations(flat, inputs, constants)
        constant, rest = divided(whole, len(inputs))
        self._constant: Sequence[Tensor] = constant()
        self._first, self._then = divided(rest, len(given))
        self._digest = fixed.digest
        self._trusted = {True: False, False: False}

    def __call__(self, given: Sequence[Tensor], fixed: Fixed) -> Tree:
        return unflatten(self._spec, iter(self._replay(given, fixed)))

    def _replay(self, given: Sequence[Tensor], fixed: Fixed) -> Sequence[Tensor]:
        known = *fixed.tensors, *self._constant
        if self not in fixed.known:
            fixed.known[self] = self._first(*known)
        found: Sequence[Tensor] = self._then(*given, *known, *fixed.known[self])
        return found

    def trusts(self, fixed: Fixed) -> bool:
        """Whether a replay with these tensors needs no check."""
        return all(self._trusted.values()) or self._trusted[fixed.digest == self._digest]

    def check(self, given: Sequence[Tensor], fixed: Fixed, expected: Tree) -> bool:
        """Whether a replay gives these results; it is trusted from then on."""
        leaves, spec = flatten(expected)
        same = spec == self._spec and all(map(_same, self._replay(given, fixed), leaves))
        self._trusted[fixed.digest == self._digest] = same
        return same


def _shapes(tensors: Sequence[Tensor]) -> Hashable:
    return tuple((tuple(t.shape), t.stride(), t.dtype, t.device) for t in tensors)


def _same(one: Tensor, two: Tensor) -> bool:
    """Whether all values are, nan included."""
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    return torch.equal(one, two) or torch.allclose(one, two, 0, 0, equal_nan=True)

"""Inner loops that go on from what an earlier one computed.

Two inner loops that begin with the same steps have the same state after them, bit for bit. A search
for the settings of an inner loop has many such pairs: one that differs in the last step only, or
that takes more steps. So the state before the last step is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from metaselector.meta.adapt.contract import InnerLoop
from metaselector.meta.adapt.engines.user_batch import UserBatch
from metaselector.models.kernels.replay import Recorder
from metaselector.models.kernels.trees import Tree, flatten

MOST_BYTES = 2**29


class Kept(NamedTuple):
    """The state of some users after a number of `steps`, and the key of the way there."""

    key: Hashable
    steps: int
    state: Tree
    size: int


class KeptSteps:
    """One state for each group of users that adapts at once.

    Args:
        most: bytes to keep; states of further users are not kept.

    Attributes:
        found: how many inner loops went on from a state.

    Example:
        >>> import torch
        >>> kept = KeptSteps()
        >>> kept.keep([b"start", b"a"], 1, torch.ones(1))
        >>> kept.find([b"start", b"a", b"b"])
        (1, tensor([1.]))
        >>> kept.find([b"start", b"b"])
        (0, None)
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._states: dict[Hashable, Kept] = {}
        self.found = 0

    def keep(self, keys: Sequence[Hashable], steps: int, state: Tree) -> None:
        """Keep a state in place of the one before.

        Args:
            keys: of the start, and of the way there after each step.
        """
        self._states.pop(keys[0], None)
        size = sum(tensor.numel() * tensor.element_size() for tensor in flatten(state)[0])
        if size + sum(kept.size for kept in self._states.values()) <= self._most:
            self._states[keys[0]] = Kept(keys[steps], steps, state, size)

    def find(self, keys: Sequence[Hashable]) -> tuple[int, Tree]:
        """How many steps need not be taken, and the state after them; 0 and None if none."""
        kept = self._states.get(keys[0])
        if kept is None or kept.steps >= len(keys) or keys[kept.steps] != kept.key:
            return 0, None
        self.found += 1
        return kept.steps, kept.state

    def clear(self) -> None:
        """Forget all states."""
        self._states.clear()


class ContinuedBatch(UserBatch):
    """Users whose inner loop goes on from a kept state, if there is one.

    Args:
        kept: where states are.
    """

    def __init__(
        self, loop: InnerLoop, factored: set[str], recorder: Recorder | None, kept: KeptSteps
    ) -> None:
        super().__init__(loop, factored, recorder)
        # What may not be recorded may not give the same numbers again.
        self._kept = kept if self.recorder is not None and not self.model.training else None

    def adapt(self) -> None:
        last = self.loop.adaptation.steps - 1
        if self._kept is None or last < 1:
            super().adapt()
            return
        keys = self._keys()
        done, state = self._kept.find(keys)
        if done:
            self.own, changes, self.first = state
            for name, of in changes.items():
                self.weights[name] = replace(self.weights[name], changes=of)
        for step in self.steps(done):
            if step == last - 1:
                self._kept.keep(keys, last, (self.own, self._changes, self.first))

    def _keys(self) -> list[Hashable]:
        """Digests of the start, and of all that the steps up to each depend on."""
        adaptation, support = self.loop.adaptation, self.episodes.support
        starts = {name: weight.start for name, weight in self.weights.items()}
        start = (self.own, starts, self.fixed, self.shared, *support.batch, support.labels)
        digest = hashlib.blake2b()
        _add(digest, start)
        rule = adaptation.rule
        named = type(rule), rule.second_order, self.loop.loss, *self._named
        keys: list[Hashable] = [(named, digest.digest())]
        for step in range(adaptation.steps):
            rates = adaptation.rates_at(step, self.rates)
            weights = adaptation.support_weights(step, support.mask, support.hours, self.rates)
            _add(digest, (rates, weights, adaptation.shrinkage(weights, step, self.rates)))
            keys.append(digest.digest())
        return keys


def _add(digest: Any, tree: Tree) -> None:
    """Add all values; one user's where the others share them."""
    tensors, spec = flatten(tree)
    digest.update(repr((spec, [tensor.shape for tensor in tensors])).encode())
    for tensor in tensors:
        one = tensor[:1] if tensor.ndim and not tensor.stride(0) else tensor
        digest.update(one.detach().cpu().contiguous().numpy().tobytes())

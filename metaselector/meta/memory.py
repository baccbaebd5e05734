"""Results of inner loops, kept so that the same ones need not run again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import torch

from metaselector.data.splitting.episodes import Rows
from metaselector.meta.adapt.contract import Engine, InnerLoop, Predictor, Step


class Memory:
    """Remembers the results of inner loops by the support rows that they read.

    A loop is repeated only if its support has changed: the rows, their labels and features, or
    their age at the query, where older rows count less. Use one memory for one model.

    Args:
        most: how many results to keep, the latest used; each is that of all users of a chunk.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, Predictor] = OrderedDict()

    def output(self, engine: Engine, loop: InnerLoop) -> Any:
        """What the engine returns for the loop, ``[U, Q, ...]``; without gradients."""
        key = _digest(loop)
        if key not in self._kept:
            self._kept[key] = engine.adapt_once(loop)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return self._kept[key](loop.episodes)


class RunsOnce(Engine):
    """Runs each inner loop once, for episodes that come again while nothing in it changes.

    So the numbers of the correction by residuals can be validated again and again without another
    inner loop: they are applied after it. Parameters, rates and settings must stay as they are. Its
    outputs have no gradients.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: dict[bytes, tuple[Any, Any]] = {}

    def run(self, loop: InnerLoop, *, every_step: bool) -> list[Step]:
        return self._engine.run(loop, every_step=every_step)

    @torch.no_grad()
    def with_unadapted(self, loop: InnerLoop) -> tuple[Any, Any]:
        key = _digest(loop) + _digest_of(loop.episodes.query)
        if key not in self._kept:
            self._kept[key] = self._engine.with_unadapted(loop)
        return self._kept[key]


def _digest(loop: InnerLoop) -> bytes:
    """A digest of everything that the inner loop reads of the support."""
    support = loop.episodes.support
    hours = support.hours if loop.adaptation.counts_hours(loop.rates) else None
    return _digest_of(support, hours)


def _digest_of(part: Rows, hours: torch.Tensor | None = None) -> bytes:
    digest = hashlib.blake2b(repr(part.mask.shape).encode())
    for tensor in (*part.batch, part.labels, part.mask, hours):
        digest.update(b"" if tensor is None else tensor.detach().cpu().numpy().tobytes())
    return digest.digest()

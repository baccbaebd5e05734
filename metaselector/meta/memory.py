"""What users have adapted to, kept so that their next queries need no inner loop."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

from metaselector.meta.adapt.contract import Engine, InnerLoop, Predictor


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


def _digest(loop: InnerLoop) -> bytes:
    """A digest of everything that the inner loop reads of the episodes."""
    support = loop.episodes.support
    hours = support.hours if loop.adaptation.counts_hours(loop.rates) else None
    digest = hashlib.blake2b(repr(support.mask.shape).encode())
    for tensor in (*support.batch, support.labels, support.mask, hours):
        digest.update(b"" if tensor is None else tensor.detach().cpu().numpy().tobytes())
    return digest.digest()

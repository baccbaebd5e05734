"""How alike rows are, by the base models of a run and the rows they were trained on."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.data.splitting.protocol import WINDOWS, Window
from metaselector.models.similarity.contract import (
    RowSimilarity,
    Similarities,
    make_similarity,
)
from metaselector.training.predict import mean_probability

KEPT = 2**28
"""Bytes of similarities that are kept."""


class LateSimilarity:
    """Similarities that are built when they are first asked for; most commands never ask.

    What is validated and tested comes again: in every epoch, and for each model that adapts. So
    without gradients, what was computed is kept. Training draws other rows each time.

    Args:
        build: builds them.
        dataset: whose episodes come again.
        most: bytes that are kept. One episode more, and all are forgotten: episodes come in turns,
            so that forgetting only the oldest ones would leave none for the next turn.
    """

    def __init__(
        self, build: Callable[[], Similarities], dataset: EncodedDataset, most: int = KEPT
    ) -> None:
        self._build: Callable[[], Similarities] | None = build
        self._dataset, self._most = dataset, most
        self._kept: dict[bytes, Tensor] = {}
        self._bytes = 0

    @cached_property
    def _built(self) -> Similarities:
        assert self._build is not None
        made = self._build()
        self._build = None  # it holds copies of base models
        return made

    @property
    def parts(self) -> Mapping[str, RowSimilarity]:
        return self._built.parts

    @property
    def names(self) -> tuple[str, ...]:
        return self._built.names

    def __call__(self, dataset: EncodedDataset, episodes: EpisodeRows) -> Tensor:
        if torch.is_grad_enabled() or dataset is not self._dataset:
            return self._built(dataset, episodes)
        key = _digest(episodes)
        if key in self._kept:
            return self._kept[key]
        made = self._built(dataset, episodes)
        self._bytes += made.nbytes
        if self._bytes > self._most:
            self._kept.clear()
            self._bytes = made.nbytes
        self._kept[key] = made
        return made


def _digest(episodes: EpisodeRows) -> bytes:
    digest = hashlib.sha256()
    for part in fields(episodes):
        array = getattr(episodes, part.name)
        if array is not None:
            digest.update(f"{part.name} {array.dtype} {array.shape} ".encode())
            digest.update(array.tobytes())
    return digest.digest()


class LateSimilarities:
    """The similarities of the windows of one seed, each built once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Window, int], LateSimilarity] = {}

    def of(
        self,
        base_models: Mapping[str, nn.Module],
        dataset: EncodedDataset,
        config: Config,
        window: Window,
        seed: int,
    ) -> LateSimilarity:
        """See :func:`similarity_of_window`; the models are copied, as a mixture may change them."""
        key = (window, seed)
        if key not in self._known:
            while len(self._known) >= len(WINDOWS):
                del self._known[next(iter(self._known))]
            models = copy.deepcopy(dict(base_models))
            build = partial(similarity_of_window, models, dataset, config, window)
            self._known[key] = LateSimilarity(build, dataset)
        return self._known[key]


def similarity_of_window(
    base_models: Mapping[str, nn.Module], dataset: EncodedDataset, config: Config, window: Window
) -> Similarities:
    """Build what ``adapt.residuals.similarities`` names.

    Args:
        base_models: those trained on `window`.
        dataset: with the scores of estimators of this window.
    """
    protocol = make_protocol(dataset, config)
    rows = protocol.fitting_rows(window)
    names = config.adapt.residuals.similarities
    mean = mean_probability(base_models.values(), protocol.fitting_dataset, rows)
    return make_similarity(names, dataset, base_models, rows, mean)

"""Base models under a new selector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import nn

from metaselector.config import Config
from metaselector.data.encoded.schema import Schema
from metaselector.models.make_selector import make_selector
from metaselector.models.mixture import Mixture


class HasSchema(Protocol):
    """Data, or what is left of it."""

    @property
    def schema(self) -> Schema:
        """What its ids mean."""


def make_mixture(
    base_models: Mapping[str, nn.Module], dataset: HasSchema, config: Config, seed: int
) -> Mixture:
    """The base models under a fresh selector, in evaluation mode."""
    selector = make_selector(config.selector, dataset.schema, len(base_models), seed)
    schema = dataset.schema
    scored = any(model.gives_scores for model in config.base_models.values())
    slots = schema.num_slots if scored else None  # scores stand behind these
    mixture = Mixture(base_models, selector, len(schema.tasks), slots)
    return mixture.to(config.device).eval()

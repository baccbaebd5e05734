"""Small selectors with random parameters, and rows for them."""

from __future__ import annotations

from itertools import combinations
from typing import Any, get_args

import torch
from torch import Tensor

from metaselector.config.selector import SelectorInput
from metaselector.data.encoded.batch import Batch
from metaselector.models.selector import GatedSelector

SLOT_FIELDS = [0, 1, 1]
MODELS = 3
SEES = [kinds for n in (1, 2, 3, 4) for kinds in combinations(get_args(SelectorInput), n)]


def build(scale: float | None = None, seed: int = 0, **settings: Any) -> GatedSelector:
    """An untrained selector, or one with random parameters of the given scale."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        selector = GatedSelector(
            6, SLOT_FIELDS, MODELS, embedding_size=2, hidden_size=4, **settings
        ).double()
    if scale is not None:
        with torch.no_grad():
            for p in selector.parameters():
                p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale)
    return selector


def inputs(*shape: int, seed: int = 0) -> tuple[Batch, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 6, (*shape, 3), generator=generator)
    values = torch.rand((*shape, 3), generator=generator, dtype=torch.float64)
    return Batch(ids, values), torch.rand(
        (*shape, MODELS), generator=generator, dtype=torch.float64
    )

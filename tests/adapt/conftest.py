"""A tiny random world for the engines, and their slow twin."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from base_models import FM, LR, DeepFM
from metaselector.data.batch import Batch
from metaselector.data.episodes import Episodes, Rows
from metaselector.mixture import Mixture
from metaselector.selector import GatedSelector

NUM_IDS = 14
SLOT_FIELDS = [0, 1, 1]


@dataclass(frozen=True)
class World:
    """A mixture, its parameters as differentiable leaves, and episodes of three users.

    The first user has all support rows, the second fewer rows of both kinds, the third no support.
    """

    model: Mixture
    params: dict[str, Tensor]
    episodes: Episodes


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The module reference.py beside this file."""
    spec = importlib.util.spec_from_file_location(
        "reference", Path(__file__).with_name("reference.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_world() -> Callable[[torch.dtype], World]:
    return build_world


@pytest.fixture
def world() -> World:
    return build_world(torch.float64)


def build_world(dtype: torch.dtype) -> World:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        model = Mixture(
            {
                "lr": LR(NUM_IDS, SLOT_FIELDS),
                "fm": FM(NUM_IDS, SLOT_FIELDS, embedding_size=2),
                "deepfm": DeepFM(NUM_IDS, SLOT_FIELDS, embedding_size=2, hidden_sizes=(3,)),
            },
            GatedSelector(NUM_IDS, SLOT_FIELDS, 3, embedding_size=2, hidden_size=4),
        ).to(dtype)
    params = {
        name: (torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.5)
        .to(dtype)
        .requires_grad_()
        for name, p in model.named_parameters()
    }
    support_mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]], dtype=dtype)
    query_mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 1]], dtype=dtype)
    return World(
        model,
        params,
        Episodes(random_rows(support_mask, generator), random_rows(query_mask, generator)),
    )


def random_rows(mask: Tensor, generator: torch.Generator) -> Rows:
    """Rows with ids 1 to NUM_IDS - 3: the last two rows of every table stay untouched."""
    shape = (*mask.shape, len(SLOT_FIELDS))
    ids = torch.randint(1, NUM_IDS - 2, shape, generator=generator)
    values = torch.rand(shape, generator=generator, dtype=torch.float64).to(mask.dtype)
    labels = torch.randint(0, 2, mask.shape, generator=generator).to(mask.dtype)
    real = mask.bool().unsqueeze(-1)
    return Rows(Batch(ids * real, values * real), labels * mask, mask)

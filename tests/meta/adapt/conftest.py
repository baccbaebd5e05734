"""A tiny random world for the engines, what runs in it, and their slow twin."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from base_models import AITM, ESMM, FM, LR, PLE, Additive, DeepFM, ItemKNN, SequenceAttention, Task
from metaselector.common.errors import UserError
from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation, select_names
from metaselector.meta.adapt.contract import Engine, Loss
from metaselector.meta.adapt.engines import ENGINES, make_engine
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.models.kernels import intercept
from metaselector.models.losses import mean_loss
from metaselector.models.mixture import Mixture, MixtureOutput
from metaselector.models.selector import GatedSelector
from tests.meta.adapt.engine_runner import Runner

NUM_IDS = 14
SLOT_FIELDS = [0, 1, 1]
RATE = 0.3
RULES: dict[str, InnerRule] = {
    "maml": MAML(RATE),
    "first-order-maml": MAML(RATE, second_order=False),
    "meta-sgd-scalar": MetaSGD(RATE, granularity="scalar"),
    "meta-sgd-tensor": MetaSGD(RATE, granularity="tensor"),
    "meta-sgd-element": MetaSGD(RATE, granularity="element"),
    "first-order-meta-sgd-tensor": MetaSGD(RATE, second_order=False),
    "first-order-meta-sgd-element": MetaSGD(RATE, granularity="element", second_order=False),
}
PATTERNS = {
    "all": ("*",),
    "selector": ("selector.*",),
    "last-layers": ("*.bias", "selector.output.*"),
    "some-tables": ("base_models.fm.embedding.weight", "selector.output.*"),
}
ENTROPY = 0.1
PUBLIC = "func by torch's public names"


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


@pytest.fixture(params=[*ENGINES, PUBLIC])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Every engine; one whose library is missing is skipped, but not in CI.

    The default one is there a second time, as it runs on a torch without the private names.
    """
    if request.param == PUBLIC:
        monkeypatch.setattr(intercept, "_private", None)
        return FuncEngine()
    try:
        return make_engine(request.param)
    except UserError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(params=RULES)
def rule(request: pytest.FixtureRequest) -> InnerRule:
    return RULES[request.param]


@pytest.fixture(params=PATTERNS)
def patterns(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Which parameters adapt."""
    return PATTERNS[request.param]


@pytest.fixture
def loss() -> Loss:
    return loss_with_entropy


@pytest.fixture
def runner(engine: Engine, reference: ModuleType, loss: Loss) -> Runner:
    return Runner(engine, reference, loss)


def loss_with_entropy(output: MixtureOutput, labels: Tensor, mask: Tensor) -> Tensor:
    """The training loss, and a term through the weights so that every output matters."""
    entropy = -(output.weights * output.weights.log()).sum(-1)
    count = mask.sum().clamp_min(1)
    return mean_loss(output, labels, mask) + ENTROPY * (entropy * mask).sum() / count


@pytest.fixture
def make_adaptation() -> Callable[..., tuple[Adaptation, dict[str, Tensor]]]:
    """An adaptation and slightly uneven rates for it, as leaves."""

    def make(
        world: World, rule: InnerRule, steps: int = 2, patterns: Any = ("*",), **settings: Any
    ) -> Any:
        adaptation = Adaptation(rule, steps, select_names(world.params, patterns), **settings)
        generator = torch.Generator().manual_seed(1)
        rates = {
            name: (rate + 0.1 * torch.rand(rate.shape, generator=generator, dtype=rate.dtype))
            .detach()
            .requires_grad_()
            for name, rate in adaptation.initial_rates(world.params).items()
        }
        return adaptation, rates

    return make


@pytest.fixture
def make_world() -> Callable[..., World]:
    return build_world


@pytest.fixture
def world() -> World:
    return build_world(torch.float64)


@pytest.fixture
def world_with_times() -> World:
    """As `world`, with the hours of rows and how alike they are."""
    return with_times(build_world(torch.float64))


def with_times(world: World) -> World:
    generator, episodes = torch.Generator().manual_seed(2), world.episodes
    support, query = (
        torch.rand(rows.mask.shape, generator=generator, dtype=torch.float64)
        for rows in (episodes.support, episodes.query)
    )
    hours = -30 * support.sort(descending=True).values, (5 * query).sort().values
    alike = 2 * torch.rand(3, 3, 4, 2, generator=generator, dtype=torch.float64) - 1
    return replace(
        world,
        episodes=Episodes(
            replace(episodes.support, hours=hours[0]),
            replace(episodes.query, hours=hours[1]),
            alike,
        ),
    )


@pytest.fixture
def world_of_fields() -> World:
    """As `world`, of the models that know which field is the user, the item and the history."""
    return build_world(torch.float64, [0, 1, 2, 2], models_of_fields)


@pytest.fixture
def world_of_tasks() -> World:
    """As `world`, of multi-task models; the second task is observed where the first is 1."""
    world = build_world(
        torch.float64,
        SLOT_FIELDS,
        models_of_tasks,
        num_tasks=2,
        inputs=("fields", "support-losses"),
    )
    return replace(
        world,
        episodes=Episodes(*map(with_second_task, (world.episodes.support, world.episodes.query))),
    )


def with_second_task(rows: Rows) -> Rows:
    watched = rows.labels
    liked = (rows.batch.ids[..., 0] % 2).to(watched.dtype)
    unobserved = (watched == 0) | (rows.mask == 0)
    labels = torch.stack([watched, liked.masked_fill(unobserved, torch.nan)], -1)
    return Rows(rows.batch, labels.masked_fill(rows.mask.unsqueeze(-1) == 0, torch.nan), rows.mask)


def models_of_tasks(slot_fields: list[int]) -> dict[str, nn.Module]:
    tasks = (Task(), Task(after=0))
    return {
        "ple": PLE(
            NUM_IDS, slot_fields, tasks, embedding_size=2, expert_sizes=(3, 3), tower_sizes=(2,)
        ),
        "esmm": ESMM(NUM_IDS, slot_fields, tasks, embedding_size=2, hidden_sizes=(3,)),
        "aitm": AITM(
            NUM_IDS, slot_fields, tasks, embedding_size=2, bottom_sizes=(3,), tower_sizes=(2,)
        ),
    }


def plain_models(slot_fields: list[int]) -> dict[str, nn.Module]:
    return {
        "lr": LR(NUM_IDS, slot_fields),
        "fm": FM(NUM_IDS, slot_fields, embedding_size=2),
        "deepfm": DeepFM(NUM_IDS, slot_fields, embedding_size=2, hidden_sizes=(3,)),
    }


def models_of_fields(slot_fields: list[int]) -> dict[str, nn.Module]:
    return {
        "additive": Additive(NUM_IDS, slot_fields, 0, embedding_size=2),
        "itemknn": ItemKNN(NUM_IDS, slot_fields, 0, 1, 2, embedding_size=2),
        "sequence": SequenceAttention(
            NUM_IDS, slot_fields, 1, 2, embedding_size=2, attention_size=3, hidden_sizes=(3,)
        ),
    }


def build_world(
    dtype: torch.dtype,
    slot_fields: list[int] = SLOT_FIELDS,
    models: Callable[[list[int]], dict[str, nn.Module]] = plain_models,
    **selector: Any,
) -> World:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        model = Mixture(
            models(slot_fields),
            GatedSelector(NUM_IDS, slot_fields, 3, embedding_size=2, hidden_size=4, **selector),
            selector.get("num_tasks", 1),
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
        Episodes(
            random_rows(support_mask, len(slot_fields), generator),
            random_rows(query_mask, len(slot_fields), generator),
        ),
    )


def random_rows(mask: Tensor, slots: int, generator: torch.Generator) -> Rows:
    """Rows with ids 1 to NUM_IDS - 3: the last two rows of every table stay untouched."""
    shape = (*mask.shape, slots)
    ids = torch.randint(1, NUM_IDS - 2, shape, generator=generator)
    values = torch.rand(shape, generator=generator, dtype=torch.float64).to(mask.dtype)
    labels = torch.randint(0, 2, mask.shape, generator=generator).to(mask.dtype)
    real = mask.bool().unsqueeze(-1)
    return Rows(Batch(ids * real, values * real), labels * mask, mask)

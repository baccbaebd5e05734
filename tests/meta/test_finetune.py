"""Fine-tuning for each user without meta-learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from base_models import LR
from metaselector.common.progress import Silent
from metaselector.config import AdaptConfig, Config
from metaselector.data.planted import planted_world
from metaselector.data.splitting.warm import Warm
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.rules import MAML
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.finetune import choose_rate
from metaselector.meta.variants import make_adaptation
from metaselector.models.build import build_mixture
from metaselector.models.mixture import Mixture

RATES = (1e-6, 1.0, 1e3)


@pytest.fixture
def warm() -> Warm:
    dataset = planted_world(30, 40, 8, np.random.default_rng(0)).dataset
    return Warm(dataset, Config(adapt=AdaptConfig(finetune_rates=RATES, finetune_steps=3)))


@pytest.fixture
def mixture(warm: Warm) -> Mixture:
    schema = warm.dataset.schema
    models = {name: LR(schema.num_ids, schema.slot_fields) for name in ("a", "b")}
    return build_mixture(models, warm.dataset.schema, warm.config, seed=0)


def adapted(
    warm: Warm, mixture: Mixture, alpha: dict[str, torch.Tensor], adaptation: Adaptation
) -> AdaptedModel:
    tasks = warm.dataset.schema.tasks
    return AdaptedModel.of_settings(mixture, alpha, adaptation, tasks, warm.config.adapt)


def test_the_best_rate_on_valid_is_taken(warm: Warm, mixture: Mixture) -> None:
    before = {name: p.detach().clone() for name, p in mixture.named_parameters()}
    learned = choose_rate(warm, mixture, description="", progress=Silent())
    (evaluation_split,) = warm.evaluation_splits
    names = tuple(name for name in before if name.startswith("base_models."))
    losses = []
    for rate in RATES:
        alpha = {name: torch.tensor([rate]) for name in names}
        adaptation = Adaptation(MAML(rate), 3, names)
        found = adapted(warm, mixture, alpha, adaptation).predict(
            warm.dataset, evaluation_split.valid
        )
        losses.append(found.loss())
    assert [row["valid_loss"] for row in learned.history] == losses
    assert learned.best_epoch == int(np.argmin(losses)) == 1
    assert set(learned.alpha) == set(names)
    assert all(rate.tolist() == [1.0] for rate in learned.alpha.values())
    assert all(torch.equal(before[name], p) for name, p in mixture.named_parameters())


def test_the_selector_stays_the_plain_average(warm: Warm, mixture: Mixture) -> None:
    adaptation = make_adaptation("user-finetuned-plain", mixture, warm.config)
    assert adaptation.steps == 3
    assert not any(name.startswith("selector.") for name in adaptation.names)
    alpha = {name: torch.tensor([1.0]) for name in adaptation.names}
    test = warm.evaluation_splits[0].test
    found = adapted(warm, mixture, alpha, adaptation).predict(warm.dataset, test)
    assert np.array_equal(found.weights, np.full_like(found.weights, 0.5))

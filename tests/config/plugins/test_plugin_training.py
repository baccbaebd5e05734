"""Runs with a selector and an inner rule from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from metaselector import MetaSelector
from metaselector.common.errors import CheckpointError
from metaselector.common.progress import Silent
from metaselector.config import AdaptConfig, BaseModelConfig, Config, MetaTrainConfig
from metaselector.config.plugins.consent import CodeNotAllowed
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting.episodes import window_episodes
from metaselector.meta.adapted import AdaptedModel, WindowPredictions
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.train import meta_train
from metaselector.meta.variants import Variant, make_adaptation
from metaselector.models import registry
from metaselector.models.build import build_mixture
from metaselector.models.mixture import Mixture
from metaselector.runs.run import Run

SOURCE = '''
import torch
from torch import nn


class Own:
    """Steps against the gradient."""

    learnable, second_order = False, True
    factor = 1.0

    def __init__(self, rate):
        self.rate = rate

    def init(self, params):
        return {name: p.new_full([1], self.rate(name)) for name, p in params.items()}

    def update(self, params, grads, rates):
        return {name: p - self.factor * rates[name] * grads[name] for name, p in params.items()}


class Twice(Own):
    """Twice as far."""

    factor = 2.0


class Favour(nn.Module):
    """The same weights for all rows of a user, whatever the rows say."""

    tables = ()

    def __init__(self, num_models, start=0.5):
        super().__init__()
        self.scores = nn.Parameter(torch.arange(float(num_models)) * start)

    def forward(self, batch, base_probabilities):
        return torch.softmax(self.scores, -1).expand(base_probabilities.shape)
'''


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(SOURCE)
    return tmp_path / "own.py"


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted_world(8, 40, 8, np.random.default_rng(0)).dataset


def settings(**changes: Any) -> Config:
    adapt: dict[str, Any] = {"support_size": 10, "inner_lr_theta": 0.25, "half_lives": ()}
    return Config(
        base_models={"lr": BaseModelConfig(), "fm": BaseModelConfig()},
        adapt=AdaptConfig.model_validate(adapt | changes.pop("adapt", {})),
        meta_train=MetaTrainConfig(epochs=2, users_per_batch=4, outer_lr_phi=0.01),
        **changes,
    )


def train(
    dataset: EncodedDataset, config: Config, variant: Variant
) -> tuple[Mixture, MetaParameters, WindowPredictions]:
    """Meta-train on untrained base models, and predict the last rows."""
    early, later = (
        build_mixture(
            {
                name: registry.build_base_model(name, dataset.schema, {}, seed)
                for name in ("lr", "fm")
            },
            dataset.schema,
            config,
            0,
        )
        for seed in (1, 2)
    )
    generator = np.random.default_rng(0)
    learned = meta_train(
        variant, dataset, early, later, config, generator, description="", progress=Silent()
    )
    mixture = learned.attach(later)
    adaptation = make_adaptation(variant, mixture, config)
    model = AdaptedModel.of_settings(
        mixture, learned.alpha, adaptation, dataset.schema.tasks, config.adapt
    )
    window = (config.split.valid, 100)
    found = model.predict(dataset, window_episodes(dataset, window, config.adapt.support_size))
    return mixture, learned, found


@pytest.mark.parametrize(("own", "factor"), [("Own", 1), ("Twice", 2)])
def test_the_rule_of_the_file_makes_the_steps(
    dataset: EncodedDataset, path: Path, own: str, factor: int
) -> None:
    """A copy of MAML learns what MAML learns; twice the step equals twice the rate.

    But for rounding: engines have a faster way for the built-in rules.
    """
    rates = {"inner_lr_theta": 0.25 * factor, "inner_lr_phi": 0.5 * factor}
    _, maml, expected = train(dataset, settings(adapt={"rule": "maml", **rates}), "metaselector")
    _, learned, found = train(dataset, settings(adapt={"rule": f"{path}:{own}"}), "metaselector")
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
    for part in ("phi", "theta_delta"):
        ours, theirs = getattr(learned, part), getattr(maml, part)
        assert ours.keys() == theirs.keys()
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-4)
    halved = {"rule": "maml", "inner_lr_theta": 0.125, "inner_lr_phi": 0.25}
    _, _, other = train(dataset, settings(adapt=halved), "metaselector")
    assert np.abs(found.probabilities - other.probabilities).max() > 1e-3


def test_the_selector_of_the_file_weighs(dataset: EncodedDataset, path: Path) -> None:
    own = settings(selector={"kind": f"{path}:Favour", "options": {"start": 2.0}})
    mixture, learned, found = train(dataset, own, "sample-selector")
    assert [*learned.phi] == ["selector.scores"]
    scores = learned.phi["selector.scores"]
    assert not torch.equal(scores, torch.tensor([0.0, 2.0]))  # it has learned
    expected = torch.softmax(scores, -1).detach().numpy()
    np.testing.assert_allclose(found.weights, np.tile(expected, (len(found.rows), 1)), rtol=1e-6)
    base = mixture(dataset.batch(found.rows)).base_probabilities.detach().numpy()
    np.testing.assert_allclose(found.probabilities, base @ expected, rtol=1e-5)

    _, _, adapted = train(dataset, own, "metaselector-simplified")
    weights = pd.DataFrame({"user": dataset.users[adapted.rows], "w": adapted.weights[:, 0]})
    assert (weights.groupby("user")["w"].nunique() == 1).all()
    assert weights["w"].nunique() > 1


def test_a_model_with_both_is_known_by_what_its_file_says(
    write_world: Callable[..., Path], tmp_path: Path, path: Path
) -> None:
    model = MetaSelector(
        ["lr"],
        directory=tmp_path / "run",
        selector={"kind": f"{path}:Favour"},
        adapt={"rule": f"{path}:Own", "support_size": 5},
        meta_train={"epochs": 1},
        threads=1,
    ).fit("movielens-100k", data=write_world(tmp_path / "raw"))
    model.save(tmp_path / "saved")
    batch = Run(tmp_path / "run", model.config).dataset.batch(np.arange(5))
    with pytest.raises(CodeNotAllowed, match=r"saved/config\.yaml: selector\.kind names"):
        MetaSelector.load(tmp_path / "saved")
    again = MetaSelector.load(tmp_path / "saved", allow_code=True).trained
    assert type(again.mixture.selector).__name__ == "Favour"
    assert type(again.adaptation.rule).__name__ == "Own"
    for ours, theirs in zip(model.trained.mixture(batch), again.mixture(batch), strict=True):
        assert torch.equal(ours, theirs)

    assert Run(tmp_path / "run", model.config).checkpoints.has_learned("metaselector", 0)
    path.write_text(SOURCE.replace("factor = 1.0", "factor = 1.5"))
    edited = Run(tmp_path / "run", model.config)
    assert edited.checkpoints.has_base("lr", "full", 0)
    assert not edited.checkpoints.has_learned("metaselector", 0)
    with pytest.raises(CheckpointError, match=r"saved: .*the file has changed since"):
        MetaSelector.load(tmp_path / "saved", allow_code=True)

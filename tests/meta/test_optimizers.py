"""The outer loop's Adams."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import load_episodes, window_episodes
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.meta.optimizers import outer_optimizers
from metaselector.meta.variants import make_adaptation
from metaselector.models.losses import mean_loss
from tests.meta.outer_world import CONFIG, equal, mixture, parameters, planted


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted()


def test_the_first_step_equals_dense_adams_on_touched_rows(dataset: EncodedDataset) -> None:
    """Before there are moments, dense Adam leaves untouched rows alone too."""
    results = []
    for dense in (False, True):
        model = mixture(dataset, 1)
        adaptation = make_adaptation("metaselector", model, CONFIG)
        rates = adaptation.initial_rates(parameters(model))
        episode = EpisodeLoss(model, rates, adaptation, FuncEngine(), mean_loss).double()
        rows = window_episodes(dataset, (60, 80), 5)
        episode(load_episodes(dataset, rows).to("cpu", torch.float64)).backward()
        if dense:
            for p in episode.parameters():
                p.grad = None if p.grad is None else p.grad.to_dense()
            torch.optim.Adam(episode.parameters(), lr=1e-2).step()
        else:
            settings = CONFIG.meta_train.model_copy(
                update=dict.fromkeys(("outer_lr_phi", "outer_lr_theta", "outer_lr_alpha"), 1e-2)
            )
            for optimizer in outer_optimizers(model, episode, settings):
                optimizer.step()
        results.append({name: p.detach() for name, p in episode.named_parameters()})
    for name, p in results[0].items():
        torch.testing.assert_close(p, results[1][name], rtol=0, atol=1e-12, msg=name)


def step_outer(dataset: EncodedDataset, steps: int = 3, **changes: Any) -> dict[str, Tensor]:
    """The parameters of the joint episode, theta, phi and alpha, after some outer steps."""
    model = mixture(dataset, 1)
    adaptation = make_adaptation("metaselector", model, CONFIG)
    rates = adaptation.initial_rates(parameters(model))
    episode = EpisodeLoss(model, rates, adaptation, FuncEngine(), mean_loss)
    batch = load_episodes(dataset, window_episodes(dataset, (60, 80), 5))
    optimizers = outer_optimizers(
        model, episode, CONFIG.meta_train.model_copy(update={"outer_lr_phi": 0.1, **changes})
    )
    for _ in range(steps):
        episode.zero_grad()
        episode(batch).backward()
        for optimizer in optimizers:
            optimizer.step()
    return {name: p.detach() for name, p in episode.named_parameters()}


def test_phi_decays_but_for_its_table(dataset: EncodedDataset) -> None:
    """The first step is Adam's from parameters that are smaller by rate times decay."""
    start = parameters(mixture(dataset, 1))
    plain, decayed = (step_outer(dataset, 1, weight_decay=decay) for decay in (0.0, 0.5))
    for name, p in plain.items():
        own = name.removeprefix("model.")
        if own.startswith("selector.") and own != "selector.embedding":
            torch.testing.assert_close(decayed[name], p - 0.1 * 0.5 * start[own], msg=name)
        else:
            assert torch.equal(decayed[name], p), name
    assert not torch.equal(
        decayed["model.selector.hidden.weight"], plain["model.selector.hidden.weight"]
    )


def test_no_decay_is_adam(dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, of several steps; a decay of next to nothing is AdamW, and the same."""
    expected = step_outer(dataset, weight_decay=1e-30)
    monkeypatch.setattr(torch.optim, "AdamW", None)
    assert equal(step_outer(dataset), expected)

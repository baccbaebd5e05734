"""Meta-training on a tiny planted world: epochs, where it starts, when it ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from metaselector.config import ColdConfig, ResidualsConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting import make_protocol
from metaselector.meta.adapt.adaptation import is_number
from metaselector.meta.adapt.contract import Engine
from metaselector.meta.adapt.residuals import RESIDUALS, ResidualAttention
from metaselector.meta.finetune import alpha_of
from metaselector.meta.finetune_settings import Choice
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.variants import Variant, make_adaptation
from tests.meta.outer_world import (
    CONFIG,
    EPOCHS,
    VARIANTS,
    equal,
    mixture,
    parameters,
    planted,
    rates_of,
    script_losses,
    theta,
    train,
    with_adapt,
    with_meta_train,
)


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The list to fill with the epochs' losses on *valid*, epoch 0 first."""
    return script_losses(monkeypatch)


@pytest.mark.parametrize(
    ("losses", "best"),
    [([0.9, 0.5, 0.6, 0.7], 1), ([0.9, 0.5, 0.4, 0.3], 3), ([0.5, 0.5, 0.6, 0.5], 0)],
)
def test_the_best_epoch_is_kept(
    dataset: EncodedDataset, scripted: list[float], losses: list[float], best: int
) -> None:
    scripted += losses
    learned = train("metaselector", dataset)
    assert learned.best_epoch == best
    assert [entry["valid_loss"] for entry in learned.history] == losses
    assert [entry["epoch"] for entry in learned.history] == list(range(EPOCHS + 1))
    seconds = [0.0, *(entry["seconds"] for entry in learned.history), learned.seconds]
    assert seconds == sorted(set(seconds))
    kept = [row["mean"] for row in learned.rates if row["epoch"] == best]
    assert [rate.mean().item() for rate in learned.alpha.values()] == kept
    assert "residuals/strength" in learned.alpha


def test_epoch_0_is_the_start(dataset: EncodedDataset, scripted: list[float]) -> None:
    scripted += [0.1, 0.2, 0.2, 0.2]
    early = mixture(dataset, 1)
    before = parameters(early)
    learned = train("metaselector", dataset, early=early)
    assert learned.best_epoch == 0
    assert learned.history[0]["train_loss"] is None
    assert equal(learned.phi, {n: p for n, p in before.items() if n.startswith("selector.")})
    assert not any(shift.any() for shift in learned.theta_delta.values())
    assert {rate.item() for rate in rates_of(learned.alpha).values()} == {torch.tensor(0.1).item()}
    started = {name: rate.tolist() for name, rate in learned.alpha.items() if is_number(name)}
    assert started["support/half_life"] == [10.0, 5.0]
    assert started["support/prior_rows"] == [10.0, 10.0]


def test_phi_may_start_from_what_another_variant_learned(
    dataset: EncodedDataset, scripted: list[float]
) -> None:
    """Epoch 0 is then that selector, on base models that are as they were."""
    scripted += [4.0, 3.0, 2.0, 1.0, 0.1, 0.2, 0.2, 0.2]
    first = train("sample-selector", dataset)
    early = mixture(dataset, 1)
    untrained = parameters(early)
    learned = train("metaselector", dataset, early=early, start_from=first)
    assert learned.best_epoch == 0
    assert equal(learned.phi, first.phi)
    assert not equal(learned.phi, {name: untrained[name] for name in first.phi})
    assert not any(shift.any() for shift in learned.theta_delta.values())


def test_patience_ends_training(dataset: EncodedDataset, scripted: list[float]) -> None:
    scripted += [0.5, 0.4, 0.4, 0.1]
    learned = train("metaselector", dataset, config=with_meta_train(patience=1))
    assert len(learned.history) == 3
    assert learned.best_epoch == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_seed_decides_what_is_learned(
    variant: Variant, dataset: EncodedDataset, scripted: list[float]
) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0] * 3
    first, same, other = (train(variant, dataset, seed=seed) for seed in (1, 1, 2))
    for part in ("phi", "theta_delta", "alpha"):
        assert equal(getattr(first, part), getattr(same, part))
    for learned in (first, same):
        for entry in learned.history:
            del entry["seconds"]
    assert first.history == same.history
    assert not equal(first.phi, other.phi)


@pytest.mark.usefixtures("global_state")
def test_global_generators_are_left_alone(dataset: EncodedDataset) -> None:
    train("metaselector", dataset)


def test_untrained_is_where_meta_training_starts(
    dataset: EncodedDataset, scripted: list[float]
) -> None:
    """No batch is drawn and nothing is validated; theta and phi are those of the selector."""
    scripted += [4.0, 3.0, 2.0, 1.0]
    first = train("sample-selector", dataset)
    learned = train("metaselector-untrained", dataset, start_from=first)
    assert equal(learned.phi, first.phi)
    assert not any(shift.any() for shift in learned.theta_delta.values())
    assert learned.history == learned.rates == []
    scripted += [0.1, 0.2, 0.2, 0.2]
    assert equal(learned.alpha, train("metaselector", dataset, start_from=first).alpha)


def test_what_has_no_outer_rate_is_not_learned(
    dataset: EncodedDataset, scripted: list[float]
) -> None:
    """By default only numbers of the inner loop are."""
    scripted += [4.0, 3.0, 2.0, 1.0] * 2
    config = with_meta_train(outer_lr_theta=0.0, outer_lr_phi=0.0)
    early = mixture(dataset, 1)
    before = parameters(early)
    learned, other = (
        train("metaselector", dataset, config=config, early=early, seed=seed) for seed in (1, 2)
    )
    assert learned.theta_delta == {}
    assert equal(parameters(early), before)
    assert equal(learned.phi, {n: p for n, p in before.items() if n.startswith("selector.")})
    assert not any(torch.equal(rate, other.alpha[name]) for name, rate in learned.alpha.items())


def test_only_the_correction_is_learned_on_top_of_fine_tuning(
    dataset: EncodedDataset, scripted: list[float]
) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    early = mixture(dataset, 1)
    before = parameters(early)
    phi = {n: torch.rand_like(p) for n, p in before.items() if n.startswith("selector.")}
    chosen = MetaParameters(phi, {}, Choice(steps=3).alpha(early))
    learned = train("user-finetuned-residuals", dataset, early=early, start_from=chosen)
    assert equal(learned.phi, phi)
    assert learned.theta_delta == {}
    assert equal(theta(parameters(early)), theta(before))
    added = {name for name in learned.alpha if name.startswith("residuals/")}
    assert added == set(ResidualAttention().start())
    assert equal({n: rate for n, rate in learned.alpha.items() if n not in added}, chosen.alpha)
    start = {name: torch.tensor(value) for name, value in ResidualAttention().start().items()}
    assert not any(torch.equal(learned.alpha[name], start[name]) for name in added)


def test_the_correction_is_learned_for_the_largest_support_and_holds_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every support size keeps its own choice of fine-tuning."""
    dataset = planted_world(20, 20, 8, np.random.default_rng(0)).dataset
    cold = ColdConfig(support_sizes=(2, 5))
    config = CONFIG.model_copy(update={"protocol": "cold", "cold": cold})
    early = mixture(dataset, 1)
    choices = {"support-2": Choice(steps=3), "support-5": Choice(steps=1, selector=0.0)}
    given = {
        f"{folder}:{name}": rate
        for folder, choice in choices.items()
        for name, rate in choice.alpha(early).items()
    }
    validated: list[list[str]] = []

    def valid_loss(*arguments: Any, engine: Engine) -> float:
        validated.append([split.folder for split in arguments[-1]])
        return 1.0 / len(validated)

    monkeypatch.setattr("metaselector.meta.outer_loop.valid_loss", valid_loss)
    start = MetaParameters({}, {}, given)
    learned = train("user-finetuned-residuals", dataset, config=config, start_from=start)
    assert validated == [["support-5"]] * (EPOCHS + 1)
    save(learned.tensors())
    corrections = []
    for split in make_protocol(dataset, config).evaluation_splits:
        alpha = alpha_of(learned.alpha, split)
        adaptation = make_adaptation("user-finetuned-residuals", early, config, alpha)
        assert adaptation.steps == choices[split.folder].steps
        assert alpha.keys() == adaptation.initial_rates(parameters(early)).keys()
        numbers = {name: rate for name, rate in alpha.items() if name.startswith(RESIDUALS)}
        chosen = {name: rate for name, rate in alpha.items() if name not in numbers}
        assert equal(chosen, choices[split.folder].alpha(early))
        corrections.append(numbers)
    assert equal(*corrections)


def test_a_variant_without_anything_to_learn_is_as_it_starts(dataset: EncodedDataset) -> None:
    nothing = dict.fromkeys(("outer_lr_theta", "outer_lr_phi"), 0.0)
    adapt = {"rule": "maml", "learned_weights": False, "residuals": ResidualsConfig(enabled=False)}
    config = with_adapt(**adapt).model_copy(
        update={"meta_train": CONFIG.meta_train.model_copy(update=nothing)}
    )
    learned = train("metaselector", dataset, config=config)
    assert learned.history == []
    assert equal(learned.phi, train("metaselector-untrained", dataset, config=config).phi)

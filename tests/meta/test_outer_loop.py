"""The outer loop on a tiny planted world: what moves, and what stays."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metaselector.common.errors import UserError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.meta import outer_loop
from metaselector.meta.adapt.contract import Engine
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.variants import Variant, make_adaptation
from metaselector.models.build import build_mixture
from metaselector.models.kernels.replay import Recorder
from tests.meta.outer_world import (
    CONFIG,
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


@pytest.mark.parametrize("variant", ["sample-selector", "metaselector-simplified"])
def test_frozen_base_models_stay_as_they_are(variant: Variant, dataset: EncodedDataset) -> None:
    early = mixture(dataset, 1)
    before = parameters(early)
    learned = train(variant, dataset, early=early)
    assert equal(theta(parameters(early)), theta(before))
    assert not equal(parameters(early), before)
    assert learned.theta_delta == {}


def test_joint_training_moves_the_base_models(
    dataset: EncodedDataset, scripted: list[float]
) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    early = mixture(dataset, 1)
    before = theta(parameters(early))
    learned = train("metaselector", dataset, early=early)
    assert learned.theta_delta.keys() == before.keys()
    moved = {name: before[name] + shift for name, shift in learned.theta_delta.items()}
    torch.testing.assert_close(moved, theta(parameters(early)))
    assert all(shift.any() for shift in learned.theta_delta.values())


def test_a_selector_without_an_inner_loop_has_no_rates(dataset: EncodedDataset) -> None:
    early = mixture(dataset, 1)
    adaptation = make_adaptation("sample-selector", early, CONFIG)
    assert (adaptation.steps, adaptation.names) == (0, ())
    learned = train("sample-selector", dataset, early=early)
    assert learned.alpha == {}
    assert learned.rates == []


@pytest.mark.parametrize("granularity", ["scalar", "tensor", "element"])
def test_learned_rates_move(
    granularity: str, dataset: EncodedDataset, scripted: list[float]
) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    learned = train("metaselector", dataset, config=with_adapt(granularity=granularity))
    assert all((rate != 0.1).any() for rate in learned.alpha.values())


def test_every_step_learns_rates_of_its_own(dataset: EncodedDataset, scripted: list[float]) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    config = with_adapt(per_step=True, steps=3, half_lives=(3.0, 2.0, 1.0))
    learned = train("metaselector", dataset, config=config)
    rates = rates_of(learned.alpha)
    assert all(rate.shape == (3,) for rate in rates.values())
    assert any(len(set(rate.tolist())) == 3 for rate in rates.values())
    weights = {name: rate for name, rate in learned.alpha.items() if name.startswith("support/")}
    assert len(weights) == 3
    assert all(len(set(rate.tolist())) == 3 for rate in weights.values())


@pytest.mark.parametrize("rule", ["maml", "first-order-maml"])
def test_fixed_rates_stay(rule: str, dataset: EncodedDataset, scripted: list[float]) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    learned = train("metaselector", dataset, config=with_adapt(rule=rule))
    assert all((rate == torch.tensor(0.1)).all() for rate in rates_of(learned.alpha).values())


def test_joint_may_adapt_base_models_only(dataset: EncodedDataset) -> None:
    learned = train("metaselector", dataset, config=with_adapt(parameters=("base_models.fm.*",)))
    assert all(name.startswith("base_models.fm.") for name in rates_of(learned.alpha))


@pytest.mark.parametrize("sees", [("outputs", "disagreement"), ("support-losses",)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_selector_without_fields_learns(
    variant: Variant, sees: tuple[str, ...], dataset: EncodedDataset, scripted: list[float]
) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    blind = CONFIG.selector.model_copy(update={"inputs": sees})
    config = CONFIG.model_copy(update={"selector": blind})
    early, later = (
        build_mixture(dict(mixture(dataset, seed).base_models.items()), dataset.schema, config, 0)
        for seed in (1, 2)
    )
    before = parameters(early)
    learned = train(variant, dataset, config=config, early=early, later=later)
    assert "selector.embedding" not in learned.phi
    assert not any(torch.equal(before[name], p) for name, p in learned.phi.items())


@pytest.mark.parametrize("engine", ["higher", "learn2learn"])
def test_the_engine_changes_no_result(engine: str, dataset: EncodedDataset) -> None:
    try:
        make_engine(engine)
    except UserError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    learned = train("metaselector", dataset)
    other = train("metaselector", dataset, config=with_adapt(engine=engine))
    for part in ("phi", "theta_delta", "alpha"):
        torch.testing.assert_close(getattr(other, part), getattr(learned, part), rtol=0, atol=1e-4)
    for a, b in zip(other.history, learned.history, strict=True):
        assert a["valid_loss"] == pytest.approx(b["valid_loss"], abs=1e-5)


@pytest.mark.parametrize("user", ["outer_loop", "adapted"])
def test_the_engine_is_the_one_in_the_settings(
    user: str, dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def spy(name: str) -> Engine:
        asked.append(name)
        return FuncEngine()

    for place in ("outer_loop", "adapted"):  # neither needs higher to be installed
        found = spy if place == user else lambda _: FuncEngine()
        monkeypatch.setattr(f"metaselector.meta.{place}.make_engine", found)
    train("metaselector", dataset, config=with_adapt(engine="higher"))
    assert set(asked) == {"higher"}


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_untouched_rows_stay_as_they_are(
    granularity: Any, dataset: EncodedDataset, scripted: list[float]
) -> None:
    """The first id of every field is out-of-vocabulary, which no row of this world has."""
    scripted += [4.0, 3.0, 2.0, 1.0]
    early = mixture(dataset, 1)
    before = parameters(early)
    learned = train(
        "metaselector", dataset, early=early, config=with_adapt(granularity=granularity)
    )
    unused = [field.first_id for field in dataset.schema.fields]
    assert not set(unused) & set(np.unique(dataset.cells))
    for name in early.tables:
        now = early.get_parameter(name)
        assert torch.equal(now[unused], before[name][unused])
        assert not torch.equal(now, before[name])
        if granularity == "element":
            assert (learned.alpha[name][unused] == CONFIG.adapt.inner_lr_theta).all()


def test_users_at_a_time_change_nothing(dataset: EncodedDataset, scripted: list[float]) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0] * 2
    whole, chunked = (
        train("metaselector", dataset, config=with_adapt(max_users_per_chunk=users))
        for users in (4, 1)
    )
    for part in ("phi", "theta_delta", "alpha"):
        for name, p in getattr(whole, part).items():
            torch.testing.assert_close(getattr(chunked, part)[name], p, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("inner_dropout", [False, True])
def test_dropout_only_where_asked_for(
    inner_dropout: bool, dataset: EncodedDataset, scripted: list[float]
) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0] * 3
    results = []
    for dropout in (0.0, 0.5, 0.5):
        early, later = mixture(dataset, 1), mixture(dataset, 2)
        for model in (early, later):
            model.base_models["lr"] = nn.Sequential(model.base_models["lr"], nn.Dropout(dropout))
            model.tables = frozenset({"selector.embedding", "base_models.lr.0.linear.weight"}) | {
                name for name in model.tables if ".fm." in name
            }
        config = with_adapt(inner_dropout=inner_dropout)
        results.append(train("metaselector", dataset, early=early, later=later, config=config))
        assert not early.training
    without, with_, again = (result.phi for result in results)
    assert equal(without, with_) != inner_dropout
    assert equal(with_, again)


@pytest.mark.parametrize("bounds", [None, (-0.5, 0.5)])
def test_rates_keep_their_sign(
    bounds: tuple[float, float] | None, dataset: EncodedDataset, scripted: list[float]
) -> None:
    """However far a step goes, and within bounds, whose lower one no rate can reach."""
    for keep_sign in (True, False):
        scripted += [4.0, 3.0, 2.0, 1.0]
        config = with_meta_train(outer_lr_alpha=3.0, keep_sign=keep_sign, rate_bounds=bounds)
        learned = train("metaselector", dataset, config=config)
        found = torch.cat([rate.flatten() for rate in rates_of(learned.alpha).values()])
        assert bool((found > 0).all()) == keep_sign
        if bounds is not None:
            assert found.min() >= bounds[0]
            assert found.max() <= bounds[1] * (1 + 1e-6)


def test_long_trainings_are_recorded_and_learn_the_same(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    anew = train("metaselector", dataset)
    recorder = Recorder(calls=1)
    monkeypatch.setattr(FuncEngine, "recording", lambda _: FuncEngine(recorder))
    monkeypatch.setattr(outer_loop, "LONG", 1)
    recorded = train("metaselector", dataset)
    assert recorder.replays > 0
    assert not recorder.refused
    for name, value in anew.tensors().items():
        torch.testing.assert_close(recorded.tensors()[name], value, rtol=0, atol=1e-6)

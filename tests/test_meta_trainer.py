"""The outer loop on a tiny planted world."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from base_models import FM, LR
from metaselector import meta_trainer as module
from metaselector.adapt.engine import Engine
from metaselector.adapt.engines import make_engine
from metaselector.adapt.episode import EpisodeLoss
from metaselector.adapt.func import FuncEngine
from metaselector.adapt.rules import MAML, MetaSGD
from metaselector.config import AdaptConfig, Config, MetaTrainConfig, SelectorConfig
from metaselector.data.dataset import EncodedDataset
from metaselector.data.episodes import load_episodes, window_episodes
from metaselector.data.planted import planted_world
from metaselector.errors import ConfigError, UserError
from metaselector.meta_trainer import (
    MetaLearned,
    make_adaptation,
    make_mixture,
    make_rule,
    meta_train,
    outer_optimizers,
)
from metaselector.mixture import Mixture, mean_loss
from metaselector.progress import Silent
from metaselector.variants import Variant

VARIANTS: tuple[Variant, ...] = tuple(v for v in get_args(Variant) if v != "user-finetuned")
EPOCHS = 3
CONFIG = Config(
    selector=SelectorConfig(embedding_size=2, hidden_size=3),
    adapt=AdaptConfig(
        rule="meta-sgd",
        granularity="tensor",
        per_step=False,
        support_size=5,
        theta_rate=0.1,
        phi_rate=0.1,
    ),
    meta_train=MetaTrainConfig(users_per_batch=4, query_size=3, epochs=EPOCHS, patience=EPOCHS),
)


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted_world(4, 20, 8, np.random.default_rng(0)).dataset


def mixture(dataset: EncodedDataset, seed: int) -> Mixture:
    """Untrained base models; `seed` decides theta, phi is always the same."""
    schema = dataset.schema
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        models: dict[str, nn.Module] = {
            "lr": LR(schema.num_ids, schema.slot_fields),
            "fm": FM(schema.num_ids, schema.slot_fields, embedding_size=2),
        }
        for model in models.values():
            for p in model.parameters():
                nn.init.normal_(p, std=0.5)
    return make_mixture(models, dataset, CONFIG, 0)


def parameters(model: Mixture) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def train(
    variant: Variant,
    dataset: EncodedDataset,
    *,
    config: Config = CONFIG,
    early: Mixture | None = None,
    later: Mixture | None = None,
    seed: int = 0,
    start_from: MetaLearned | None = None,
) -> MetaLearned:
    return meta_train(
        variant,
        dataset,
        early or mixture(dataset, 1),
        later or mixture(dataset, 2),
        config,
        np.random.default_rng(seed),
        start_from=start_from,
        description="meta-train",
        progress=Silent(),
    )


def with_adapt(**changes: Any) -> Config:
    return CONFIG.model_copy(update={"adapt": CONFIG.adapt.model_copy(update=changes)})


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def theta(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: p for name, p in params.items() if name.startswith("base_models.")}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The list to fill with the epochs' losses on *valid*, epoch 0 first."""
    losses: list[float] = []
    found = iter(losses)

    class Found:
        def loss(self) -> float:
            return next(found)

    monkeypatch.setattr(module, "predict_episodes", lambda *_: Found())
    return losses


@pytest.mark.parametrize("variant", ["sample-selector", "metaselector-simplified"])
def test_frozen_base_models_stay_as_they_are(variant: Variant, dataset: EncodedDataset) -> None:
    early = mixture(dataset, 1)
    before = parameters(early)
    learned = train(variant, dataset, early=early)
    assert equal(theta(parameters(early)), theta(before))
    assert not equal(parameters(early), before)
    assert learned.shift == {}


def test_joint_training_moves_the_base_models(
    dataset: EncodedDataset, scripted: list[float]
) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    early = mixture(dataset, 1)
    before = theta(parameters(early))
    learned = train("metaselector", dataset, early=early)
    assert learned.shift.keys() == before.keys()
    moved = {name: before[name] + shift for name, shift in learned.shift.items()}
    torch.testing.assert_close(moved, theta(parameters(early)))
    assert all(shift.any() for shift in learned.shift.values())


def test_a_selector_without_an_inner_loop_has_no_rates(dataset: EncodedDataset) -> None:
    early = mixture(dataset, 1)
    adaptation = make_adaptation("sample-selector", early, CONFIG.adapt)
    assert (adaptation.steps, adaptation.names) == (0, ())
    learned = train("sample-selector", dataset, early=early)
    assert learned.alpha == {}
    assert learned.rates == []


def test_what_adapts(dataset: EncodedDataset) -> None:
    early = mixture(dataset, 1)
    names = list(parameters(early))
    simplified = make_adaptation("metaselector-simplified", early, CONFIG.adapt)
    joint = make_adaptation("metaselector", early, CONFIG.adapt)
    assert list(simplified.names) == [name for name in names if name.startswith("selector.")]
    assert list(joint.names) == names


def test_the_later_mixture_is_restored(dataset: EncodedDataset) -> None:
    later = mixture(dataset, 2)
    before = parameters(later)
    train("metaselector", dataset, later=later)
    assert equal(parameters(later), before)


def test_validation_reads_the_later_base_models_with_phi_and_shift(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, later = mixture(dataset, 1), mixture(dataset, 2)
    early_before, later_before = parameters(early), parameters(later)
    judged: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    predict_episodes = module.predict_episodes

    def spy(model: Mixture, *rest: Any) -> Any:
        valid = window_episodes(dataset, (80, 90), CONFIG.adapt.support_size)
        assert np.array_equal(rest[3].query, valid.query)
        judged.append((parameters(model), parameters(early)))
        return predict_episodes(model, *rest)

    monkeypatch.setattr(module, "predict_episodes", spy)
    train("metaselector", dataset, early=early, later=later)
    assert len(judged) == EPOCHS + 1
    for seen, learned in judged:
        for name, p in seen.items():
            if name.startswith("selector."):
                assert torch.equal(p, learned[name])
            else:
                assert torch.equal(p, later_before[name] + (learned[name] - early_before[name]))


def test_attach_copies_phi_and_adds_shift(dataset: EncodedDataset) -> None:
    model = mixture(dataset, 1)
    before = parameters(model)
    phi = {n: torch.rand_like(p) for n, p in before.items() if n.startswith("selector.")}
    shift = {n: torch.rand_like(p) for n, p in theta(before).items()}
    attached = MetaLearned(phi, shift, alpha={}).attach(model)
    assert attached is model
    after = parameters(model)
    assert equal({name: after[name] for name in phi}, phi)
    assert equal(theta(after), {name: before[name] + shift[name] for name in shift})


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


def test_epoch_0_is_the_start(dataset: EncodedDataset, scripted: list[float]) -> None:
    scripted += [0.1, 0.2, 0.2, 0.2]
    early = mixture(dataset, 1)
    before = parameters(early)
    learned = train("metaselector", dataset, early=early)
    assert learned.best_epoch == 0
    assert learned.history[0]["train_loss"] is None
    assert equal(learned.phi, {n: p for n, p in before.items() if n.startswith("selector.")})
    assert not any(shift.any() for shift in learned.shift.values())
    assert {rate.item() for rate in learned.alpha.values()} == {torch.tensor(0.1).item()}


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
    assert not any(shift.any() for shift in learned.shift.values())


def test_patience_ends_training(dataset: EncodedDataset, scripted: list[float]) -> None:
    scripted += [0.5, 0.4, 0.4, 0.1]
    impatient = CONFIG.meta_train.model_copy(update={"patience": 1})
    config = CONFIG.model_copy(update={"meta_train": impatient})
    learned = train("metaselector", dataset, config=config)
    assert len(learned.history) == 3
    assert learned.best_epoch == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_seed_decides_what_is_learned(
    variant: Variant, dataset: EncodedDataset, scripted: list[float]
) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0] * 3
    first, same, other = (train(variant, dataset, seed=seed) for seed in (1, 1, 2))
    for part in ("phi", "shift", "alpha"):
        assert equal(getattr(first, part), getattr(same, part))
    for learned in (first, same):
        for entry in learned.history:
            del entry["seconds"]
    assert first.history == same.history
    assert not equal(first.phi, other.phi)


@pytest.mark.usefixtures("global_state")
def test_global_generators_are_left_alone(dataset: EncodedDataset) -> None:
    train("metaselector", dataset)


@pytest.mark.parametrize("granularity", ["scalar", "tensor", "element"])
def test_learned_rates_move(
    granularity: str, dataset: EncodedDataset, scripted: list[float]
) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    learned = train("metaselector", dataset, config=with_adapt(granularity=granularity))
    assert any((rate != 0.1).any() for rate in learned.alpha.values())


def test_every_step_learns_rates_of_its_own(dataset: EncodedDataset, scripted: list[float]) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    config = with_adapt(per_step=True, steps=3, half_lives=(1.0,))
    learned = train("metaselector", dataset, config=config)
    assert all(rate.shape == (3,) for rate in learned.alpha.values())
    assert any(len(set(rate.tolist())) == 3 for rate in learned.alpha.values())


@pytest.mark.parametrize("rule", ["maml", "first-order-maml"])
def test_fixed_rates_stay(rule: str, dataset: EncodedDataset, scripted: list[float]) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    learned = train("metaselector", dataset, config=with_adapt(rule=rule))
    assert all((rate == torch.tensor(0.1)).all() for rate in learned.alpha.values())


@pytest.mark.parametrize(
    ("rule", "kind", "second_order", "learnable"),
    [
        ("maml", MAML, True, False),
        ("first-order-maml", MAML, False, False),
        ("meta-sgd", MetaSGD, True, True),
    ],
)
def test_every_rule_can_be_asked_for(
    rule: Any, kind: type, second_order: bool, learnable: bool
) -> None:
    made = make_rule(AdaptConfig(rule=rule, granularity="tensor"))
    assert type(made) is kind
    assert (made.second_order, made.learnable) == (second_order, learnable)


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_phi_and_theta_start_at_their_own_rates(granularity: Any) -> None:
    rule = make_rule(
        AdaptConfig(granularity=granularity, per_step=False, theta_rate=0.25, phi_rate=3.0)
    )
    params = {"base_models.lr.bias": torch.zeros(2, 3), "selector.output.bias": torch.zeros(4)}
    rates = rule.init(params)
    for name, expected in zip(params, (0.25, 3.0), strict=True):
        assert (rates[name] == expected).all()
        assert rates[name].shape == (params[name].shape if granularity == "element" else (1,))


def test_one_shared_rate_cannot_start_at_two_values() -> None:
    with pytest.raises(ConfigError, match=r"scalar shares one rate.*3.0 and 0.1"):
        make_rule(AdaptConfig(rule="meta-sgd", granularity="scalar", phi_rate=3.0, theta_rate=0.1))


def test_simplified_needs_a_parameter_of_the_selector(dataset: EncodedDataset) -> None:
    config = with_adapt(names=("base_models.*",))
    with pytest.raises(ConfigError, match=r"base_models\.\*.*no parameter of the selector"):
        train("metaselector-simplified", dataset, config=config)


def test_joint_may_adapt_base_models_only(dataset: EncodedDataset) -> None:
    learned = train("metaselector", dataset, config=with_adapt(names=("base_models.fm.*",)))
    assert all(name.startswith("base_models.fm.") for name in learned.alpha)


def test_a_new_selector_comes_from_the_seed(dataset: EncodedDataset) -> None:
    models: dict[str, nn.Module] = {}
    schema = dataset.schema
    models["lr"] = LR(schema.num_ids, schema.slot_fields)
    first, same, other = (make_mixture(models, dataset, CONFIG, seed) for seed in (0, 0, 1))
    assert equal(parameters(first), parameters(same))
    assert not equal(parameters(first), parameters(other))
    assert not first.training


def test_the_selector_is_the_one_in_the_settings(dataset: EncodedDataset) -> None:
    settings = SelectorConfig(sees=("disagreement",), temperature=2.0, uniform_share=0.1)
    models = {"lr": LR(dataset.schema.num_ids, dataset.schema.slot_fields)}
    made = make_mixture(models, dataset, CONFIG.model_copy(update={"selector": settings}), 0)
    selector = made.selector
    assert (selector.sees, selector.temperature, selector.uniform_share) == (
        {"disagreement"},
        2.0,
        0.1,
    )
    assert made.tables == {"base_models.lr.linear.weight"}


@pytest.mark.parametrize("sees", [("outputs", "disagreement"), ("support-losses",)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_selector_without_fields_learns(
    variant: Variant, sees: tuple[str, ...], dataset: EncodedDataset, scripted: list[float]
) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0]
    blind = CONFIG.selector.model_copy(update={"sees": sees})
    config = CONFIG.model_copy(update={"selector": blind})
    early, later = (
        make_mixture(dict(mixture(dataset, seed).base_models.items()), dataset, config, 0)
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
    for part in ("phi", "shift", "alpha"):
        torch.testing.assert_close(getattr(other, part), getattr(learned, part), rtol=0, atol=1e-4)
    for a, b in zip(other.history, learned.history, strict=True):
        assert a["valid_loss"] == pytest.approx(b["valid_loss"], abs=1e-5)


@pytest.mark.parametrize("user", ["meta_trainer", "predict"])
def test_the_engine_is_the_one_in_the_settings(
    user: str, dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def spy(name: str) -> Engine:
        asked.append(name)
        return FuncEngine()

    monkeypatch.setattr(f"metaselector.{user}.make_engine", spy)
    if user == "predict":
        monkeypatch.setattr(module, "make_engine", lambda _: FuncEngine())
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
            assert (learned.alpha[name][unused] == CONFIG.adapt.theta_rate).all()


def test_the_first_step_equals_dense_adams_on_touched_rows(dataset: EncodedDataset) -> None:
    """Before there are moments, dense Adam leaves untouched rows alone too."""
    results = []
    for dense in (False, True):
        model = mixture(dataset, 1)
        adaptation = make_adaptation("metaselector", model, CONFIG.adapt)
        rates = adaptation.rule.init(
            {name: p for name, p in model.named_parameters() if name in adaptation.names}
        )
        episode = EpisodeLoss(model, rates, adaptation, FuncEngine(), mean_loss).double()
        rows = window_episodes(dataset, (60, 80), 5)
        episode(load_episodes(dataset, rows).to("cpu", torch.float64)).backward()
        if dense:
            for p in episode.parameters():
                p.grad = None if p.grad is None else p.grad.to_dense()
            torch.optim.Adam(episode.parameters(), lr=1e-2).step()
        else:
            settings = CONFIG.meta_train.model_copy(
                update=dict.fromkeys(
                    ("phi_learning_rate", "theta_learning_rate", "alpha_learning_rate"), 1e-2
                )
            )
            for optimizer in outer_optimizers(model, episode, settings):
                optimizer.step()
        results.append({name: p.detach() for name, p in episode.named_parameters()})
    for name, p in results[0].items():
        torch.testing.assert_close(p, results[1][name], rtol=0, atol=1e-12, msg=name)


def step_outer(dataset: EncodedDataset, steps: int = 3, **changes: Any) -> dict[str, Tensor]:
    """The parameters of the joint episode, theta, phi and alpha, after some outer steps."""
    model = mixture(dataset, 1)
    adaptation = make_adaptation("metaselector", model, CONFIG.adapt)
    rates = adaptation.initial_rates(parameters(model))
    episode = EpisodeLoss(model, rates, adaptation, FuncEngine(), mean_loss)
    batch = load_episodes(dataset, window_episodes(dataset, (60, 80), 5))
    optimizers = outer_optimizers(
        model, episode, CONFIG.meta_train.model_copy(update={"phi_learning_rate": 0.1, **changes})
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


def test_users_at_a_time_change_nothing(dataset: EncodedDataset, scripted: list[float]) -> None:
    scripted += [4.0, 3.0, 2.0, 1.0] * 2
    whole, chunked = (
        train("metaselector", dataset, config=with_adapt(max_users_per_chunk=users))
        for users in (4, 1)
    )
    for part in ("phi", "shift", "alpha"):
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

"""The rows that adapt: their names, their inner rules, and what of each adapts."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from metaselector.common.errors import ConfigError
from metaselector.config import (
    TABLE_ROWS,
    AdaptConfig,
    Config,
    PaperConfig,
    ResidualsConfig,
    SelectorConfig,
)
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.meta.adapt.residuals import ResidualAttention
from metaselector.meta.adapt.rules import MAML, MetaSGD
from metaselector.meta.finetune_settings import Choice
from metaselector.meta.variants import (
    Kind,
    Variant,
    config_of,
    kind_of,
    make_adaptation,
    make_rule,
    variants_of,
)
from tests.meta.outer_world import CONFIG, mixture, parameters, planted, train, with_adapt


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted()


def test_what_adapts(dataset: EncodedDataset) -> None:
    early = mixture(dataset, 1)
    names = list(parameters(early))
    simplified = make_adaptation("metaselector-simplified", early, CONFIG)
    joint = make_adaptation("metaselector", early, CONFIG)
    assert list(simplified.names) == [name for name in names if name.startswith("selector.")]
    assert list(joint.names) == names


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
        AdaptConfig(granularity=granularity, per_step=False, inner_lr_theta=0.25, inner_lr_phi=3.0)
    )
    params = {"base_models.lr.bias": torch.zeros(2, 3), "selector.output.bias": torch.zeros(4)}
    rates = rule.init(params)
    for name, expected in zip(params, (0.25, 3.0), strict=True):
        assert (rates[name] == expected).all()
        assert rates[name].shape == (params[name].shape if granularity == "element" else (1,))


def test_one_shared_rate_cannot_start_at_two_values() -> None:
    with pytest.raises(ConfigError, match=r"scalar shares one rate.*3.0 and 0.1"):
        make_rule(
            AdaptConfig(rule="meta-sgd", granularity="scalar", inner_lr_phi=3.0, inner_lr_theta=0.1)
        )


def test_simplified_needs_a_parameter_of_the_selector(dataset: EncodedDataset) -> None:
    config = with_adapt(parameters=("base_models.*",))
    with pytest.raises(ConfigError, match=r"base_models\.\*.*no parameter of the selector"):
        train("metaselector-simplified", dataset, config=config)


def test_the_kind_is_what_adapts() -> None:
    assert kind_of("metaselector-simplified-first-order-maml") == "metaselector-simplified"
    assert kind_of("metaselector-maml") == "metaselector"
    assert kind_of("metaselector-untrained") == kind_of("metaselector-paper") == "metaselector"
    assert kind_of("metaselector-paper-simplified") == "metaselector-simplified"
    assert kind_of("user-finetuned-residuals") == "user-finetuned"
    assert all(kind_of(kind) == kind for kind in get_args(Kind))


def test_a_rule_in_the_name_is_the_rule() -> None:
    config = Config(adapt=AdaptConfig(rule="meta-sgd"))
    for variant in ("metaselector", "metaselector-untrained", "user-finetuned-residuals"):
        assert config_of(variant, config) == config
    for variant, rule in (
        ("metaselector-simplified-maml", "maml"),
        ("metaselector-first-order-maml", "first-order-maml"),
    ):
        found = config_of(variant, config)
        assert found.adapt == config.adapt.model_copy(update={"rule": rule})
        assert found.meta_train == config.meta_train


def test_the_sample_level_selector_has_settings_of_its_own() -> None:
    own = SelectorConfig(learning_rate=0.25, epochs=7, query_size=9)
    found = config_of("sample-selector", Config(selector=own))
    assert found.adapt.support_sizes == ()
    trained = found.meta_train
    assert (trained.outer_lr_phi, trained.epochs, trained.query_size) == (0.25, 7, 9)
    assert (trained.support_boundary, trained.averaging) == ("start", 0.0)


@pytest.mark.parametrize("variant", ["metaselector-paper", "metaselector-paper-simplified"])
def test_the_paper_s_algorithm_has_nothing_added(variant: Variant, dataset: EncodedDataset) -> None:
    """Whatever the settings of the other rows are."""
    paper = PaperConfig(steps=3, inner_lr_theta=0.3, inner_lr_phi=0.7, epochs=4, query_size=8)
    config = Config(adapt=AdaptConfig(rule="maml", support_size=7), paper=paper)
    early = mixture(dataset, 1)
    adaptation = make_adaptation(variant, early, config)
    assert isinstance(adaptation.rule, MetaSGD)
    assert (adaptation.steps, adaptation.per_step, adaptation.learned) == (3, False, False)
    assert (adaptation.time_decays, adaptation.prior_rows) == ((0.0,) * 3, 0.0)
    assert adaptation.residuals is None
    mask = torch.tensor([0.0, 1.0, 1.0])
    for step in range(3):
        weights = adaptation.support_weights(step, mask, torch.tensor([0.0, -9.0, -1.0]))
        assert torch.equal(weights, mask)
        losses = torch.tensor(0.5)
        assert torch.equal(adaptation.shrunk(losses, weights, step), losses)
    rates = adaptation.initial_rates(parameters(early))
    assert rates.keys() == set(adaptation.names)
    assert {name.split(".")[0]: round(rate.item(), 6) for name, rate in rates.items()} == (
        {"selector": 0.7} if "simplified" in variant else {"selector": 0.7, "base_models": 0.3}
    )
    found = config_of(variant, config)
    assert (found.adapt.support_size, found.adapt.support_sizes) == (7, ())
    learned = found.meta_train
    assert (learned.epochs, learned.query_size, learned.support_boundary) == (4, 8, "start")
    assert learned.outer_lr_theta == paper.outer_lr_theta > 0
    assert learned.outer_lr_phi == paper.outer_lr_phi > 0
    assert (learned.keep_sign, learned.averaging) == (False, 0.0)


def test_our_own_has_all_of_it(dataset: EncodedDataset) -> None:
    early = mixture(dataset, 1)
    for variant in ("metaselector", "metaselector-simplified", "metaselector-untrained"):
        adaptation = make_adaptation(variant, early, Config())
        assert adaptation.learned
        assert adaptation.residuals == ResidualAttention()  # without measures of similarity
        rates = adaptation.initial_rates(parameters(early))
        assert rates["support/half_life"].tolist() == [10.0, 5.0]
        assert rates["support/time_decay"].tolist() == pytest.approx([0.05, 3.0])
        assert rates["residuals/strength"].tolist() == pytest.approx([0.65])


def test_without_residuals_nothing_is_corrected(dataset: EncodedDataset) -> None:
    config = with_adapt(residuals=ResidualsConfig(enabled=False))
    adaptation = make_adaptation("metaselector", mixture(dataset, 1), config)
    assert adaptation.residuals is None


def test_rivals_take_the_steps_that_were_chosen(dataset: EncodedDataset) -> None:
    early = mixture(dataset, 1)
    names = list(parameters(early))
    alpha = Choice(steps=5).alpha(early)
    for variant in ("user-finetuned", "user-finetuned-residuals"):
        adaptation = make_adaptation(variant, early, CONFIG, alpha)
        assert (adaptation.steps, list(adaptation.names)) == (5, names)
        assert (adaptation.learned, adaptation.per_step) == (True, True)
        assert not adaptation.rule.learnable
        assert (adaptation.residuals is None) == (variant == "user-finetuned")
    plain = make_adaptation("user-finetuned-plain", early, CONFIG)
    assert (plain.steps, plain.residuals, plain.learned) == (5, None, False)
    assert list(plain.names) == [name for name in names if name.startswith("base_models.")]


def test_rules_to_compare_with_are_rows_of_their_own() -> None:
    without = [v for v in get_args(Variant) if not v.endswith("maml")]
    assert list(variants_of(AdaptConfig())) == without
    every = AdaptConfig(compared_rules=("maml", "first-order-maml"))
    assert list(variants_of(every)) == list(get_args(Variant))
    same = AdaptConfig(rule="maml", compared_rules=("maml",))
    assert list(variants_of(same)) == without


def test_each_follows_the_one_it_starts_from() -> None:
    order = list(variants_of(AdaptConfig()))
    assert order[0] == "sample-selector"
    assert order.index("user-finetuned") < order.index("user-finetuned-residuals")


def test_every_one_has_a_place_in_the_table() -> None:
    assert set(get_args(Variant)) <= set(TABLE_ROWS)

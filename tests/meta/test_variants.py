"""The rows that adapt: their names, their inner rules, and what of each adapts."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from metaselector.common.errors import ConfigError
from metaselector.config import TABLE_ROWS, AdaptConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.meta.adapt.rules import MAML, MetaSGD
from metaselector.meta.variants import (
    Kind,
    Variant,
    kind_of,
    make_adaptation,
    make_rule,
    settings_of,
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


def test_the_kind_is_the_name_without_its_rule() -> None:
    assert kind_of("metaselector-simplified-first-order-maml") == "metaselector-simplified"
    assert kind_of("metaselector-maml") == "metaselector"
    assert all(kind_of(kind) == kind for kind in get_args(Kind))


def test_a_rule_in_the_name_is_the_rule() -> None:
    config = AdaptConfig(rule="meta-sgd")
    assert settings_of("metaselector", config) == config
    assert settings_of("metaselector-simplified-maml", config).rule == "maml"
    assert settings_of("metaselector-first-order-maml", config).rule == "first-order-maml"


def test_rules_to_compare_with_are_rows_of_their_own() -> None:
    kinds = list(get_args(Kind))
    assert list(variants_of(AdaptConfig())) == kinds
    every = AdaptConfig(compared_rules=("maml", "first-order-maml"))
    assert set(variants_of(every)) == set(get_args(Variant))
    same = AdaptConfig(rule="maml", compared_rules=("maml",))
    assert list(variants_of(same)) == kinds


def test_every_one_has_a_place_in_the_table() -> None:
    assert set(get_args(Variant)) <= set(TABLE_ROWS)

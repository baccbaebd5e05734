"""Names of the rows that adapt."""

from __future__ import annotations

from typing import get_args

from metaselector.config import TABLE_ROWS, AdaptConfig
from metaselector.meta.variants import Kind, Variant, kind_of, settings_of, variants_of


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

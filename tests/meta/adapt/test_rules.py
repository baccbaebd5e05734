"""The inner rules by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metaselector.meta.adapt.rules import MAML, SHARED, InnerRule, MetaSGD

RULES = {
    "maml": MAML(0.5),
    "first-order-maml": MAML(0.5, second_order=False),
    "meta-sgd-scalar": MetaSGD(0.5, granularity="scalar"),
    "meta-sgd-tensor": MetaSGD(0.5),
    "meta-sgd-element": MetaSGD(0.5, granularity="element"),
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@pytest.fixture
def params() -> dict[str, torch.Tensor]:
    return {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.tensor([5.0])}


@pytest.fixture
def grads() -> dict[str, torch.Tensor]:
    return {"a": torch.tensor([[1.0, 0.0], [-1.0, 2.0]]), "b": torch.tensor([4.0])}


@every_rule
def test_one_step_by_hand(rule: InnerRule, params: Any, grads: Any) -> None:
    updated = rule.update(params, grads, rule.init(params))
    assert updated["a"].tolist() == [[0.5, 2.0], [3.5, 3.0]]
    assert updated["b"].tolist() == [3.0]


@every_rule
def test_update_is_pure(rule: InnerRule, params: Any, grads: Any) -> None:
    rates = rule.init(params)
    before = [{k: v.clone() for k, v in d.items()} for d in (params, grads, rates)]
    rule.update(params, grads, rates)
    for now, then in zip((params, grads, rates), before, strict=True):
        assert all(torch.equal(now[name], then[name]) for name in then)


@every_rule
def test_update_reads_the_rates_it_is_given(rule: InnerRule, params: Any, grads: Any) -> None:
    rates = {name: torch.zeros_like(rate) for name, rate in rule.init(params).items()}
    updated = rule.update(params, grads, rates)
    assert all(torch.equal(updated[name], params[name]) for name in params)


def test_every_element_has_its_own_rate(params: Any, grads: Any) -> None:
    rates = {"a": torch.tensor([[0.0, 1.0], [2.0, 3.0]]), "b": torch.tensor([0.25])}
    updated = MetaSGD(0.5, granularity="element").update(params, grads, rates)
    assert updated["a"].tolist() == [[1.0, 2.0], [5.0, -2.0]]
    assert updated["b"].tolist() == [4.0]


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("maml", {"a": [1], "b": [1]}),
        ("meta-sgd-scalar", {SHARED: [1]}),
        ("meta-sgd-tensor", {"a": [1], "b": [1]}),
        ("meta-sgd-element", {"a": [2, 2], "b": [1]}),
    ],
)
def test_shapes_and_values_of_initial_rates(name: str, shapes: Any, params: Any) -> None:
    rates = RULES[name].init(params)
    assert {key: list(rate.shape) for key, rate in rates.items()} == shapes
    assert all((rate == 0.5).all() for rate in rates.values())


@every_rule
def test_rates_have_the_dtype_of_the_parameters(rule: InnerRule, params: Any) -> None:
    rates = rule.init({name: p.double() for name, p in params.items()})
    assert {rate.dtype for rate in rates.values()} == {torch.float64}


@pytest.mark.parametrize(
    "rule",
    [MAML({"a": 0.1, "b": 0.2}.__getitem__), MetaSGD({"a": 0.1, "b": 0.2}.__getitem__)],
    ids=["maml", "meta-sgd"],
)
def test_rate_may_depend_on_the_name(rule: InnerRule, params: Any) -> None:
    rates = rule.init(params)
    assert rates["a"].item() == pytest.approx(0.1)
    assert rates["b"].item() == pytest.approx(0.2)


def test_only_meta_sgd_learns_its_rates() -> None:
    assert {name: rule.learnable for name, rule in RULES.items()} == {
        "maml": False,
        "first-order-maml": False,
        "meta-sgd-scalar": True,
        "meta-sgd-tensor": True,
        "meta-sgd-element": True,
    }

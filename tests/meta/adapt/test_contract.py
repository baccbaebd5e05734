"""Choosing the parameters that adapt."""

from __future__ import annotations

import pytest
import torch

from metaselector.common.errors import ConfigError
from metaselector.meta.adapt.adaptation import Adaptation, select_names
from metaselector.meta.adapt.rules import MAML, MetaSGD

NAMES = {"base_models.lr.weight": 0, "selector.hidden.weight": 0, "selector.hidden.bias": 0}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("*",), list(NAMES)),
        (("selector.*",), ["selector.hidden.weight", "selector.hidden.bias"]),
        (("*.bias", "base_models.*"), ["base_models.lr.weight", "selector.hidden.bias"]),
        (("*.bias", "selector.hidden.bias"), ["selector.hidden.bias"]),
        ((), []),
    ],
)
def test_patterns_keep_the_order_of_the_names(
    patterns: tuple[str, ...], expected: list[str]
) -> None:
    assert list(select_names(NAMES, patterns)) == expected


def test_case_matters() -> None:
    with pytest.raises(ConfigError):
        select_names(NAMES, ("Selector.*",))


def test_pattern_without_a_match_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'selector.hiden.bias'.*'selector.hidden.bias'"):
        select_names(NAMES, ("*", "selector.hiden.bias"))


def test_support_weights_halve_with_later_rows_and_leave_padding_out() -> None:
    adaptation = Adaptation(MAML(0.1), 2, (), half_lives=(None, 1.0))
    mask = torch.tensor([[0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(adaptation.support_weights(0, mask), mask)
    halved = [[0.0, 0.25, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0]]
    assert adaptation.support_weights(1, mask).tolist() == halved


def test_every_step_has_its_own_rate() -> None:
    adaptation = Adaptation(MAML(0.1), 3, ("a",), per_step=True)
    rates = adaptation.initial_rates({"a": torch.zeros(2, 2), "b": torch.zeros(1)})
    assert {name: rate.tolist() for name, rate in rates.items()} == {
        "a": pytest.approx([0.1, 0.1, 0.1])
    }
    rates["a"] = torch.tensor([1.0, 2.0, 3.0])
    assert [adaptation.rates_at(step, rates)["a"].tolist() for step in range(3)] == [[1], [2], [3]]


def test_an_element_cannot_have_a_rate_for_each_step() -> None:
    adaptation = Adaptation(MetaSGD(0.1, granularity="element"), 3, ("a",), per_step=True)
    with pytest.raises(ConfigError, match=r"rate of 'a' has 4 elements.*adapt\.granularity"):
        adaptation.initial_rates({"a": torch.zeros(2, 2)})


def test_more_steps_repeat_the_last_and_fewer_are_the_first() -> None:
    adaptation = Adaptation(MetaSGD(0.1), 2, ("a",), half_lives=(None, 2.0), per_step=True)
    rates = {"a": torch.tensor([1.0, 2.0])}
    more, fewer, none = (adaptation.with_steps(steps) for steps in (4, 1, 0))
    assert more.half_lives == (None, 2.0, 2.0, 2.0)
    assert [more.rates_at(step, rates)["a"].item() for step in range(4)] == [1, 2, 2, 2]
    assert (fewer.steps, fewer.half_lives) == (1, (None,))
    assert (none.steps, none.half_lives) == (0, ())
    assert adaptation.with_steps(2) == adaptation
    assert Adaptation(MetaSGD(0.1), 2, ("a",)).with_steps(3).half_lives == ()


def test_few_rows_count_less() -> None:
    losses, weights = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([[1.0, 1.0], [0.0, 1.0], [0, 0]])
    assert torch.equal(Adaptation(MAML(0.1), 1, ()).shrunk(losses, weights), losses)
    shrunk = Adaptation(MAML(0.1), 1, (), prior_rows=3.0).shrunk(losses, weights)
    assert shrunk.tolist() == pytest.approx([0.4, 0.25, 0.0])

"""Engines by name, and what only some of them can do."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metaselector.common.errors import ConfigError, UserError
from metaselector.data.encoded.batch import Batch
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import Engine
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from tests.meta.adapt.engine_runner import RATE, Rates, Runner, logit_loss, tiny_episode


def test_unknown_engine_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown engine 'hihger'; did you mean 'higher'\?"):
        make_engine("hihger")


@pytest.mark.parametrize(
    ("name", "install"), [("higher", r"pip install 'higher>="), ("learn2learn", "make peers")]
)
def test_a_missing_library_says_what_installs_it(
    name: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(UserError, match=rf"adapt.engine={name}: .*{install}"):
        make_engine(name)


def test_learn2learn_is_left_unimported(engine: Engine) -> None:
    """Half of it is used; the next one to import it must get all."""
    assert not [name for name in sys.modules if name.split(".")[0] == "learn2learn"]


class Signed:
    """A rule that is neither MAML nor Meta-SGD."""

    learnable = False
    second_order = True

    def init(self, params: Rates) -> dict[str, Tensor]:
        return MAML(RATE).init(params)

    def update(self, params: Rates, grads: Rates, rates: Rates) -> dict[str, Tensor]:
        return {name: p - rates[name] * grads[name].sign() for name, p in params.items()}


def test_a_rule_that_the_library_has_not_is_an_error(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    adaptation, rates = make_adaptation(world, Signed())
    if type(runner.engine).__name__ == "FuncEngine":
        expected, _ = runner.expected(world, adaptation, rates)
        torch.testing.assert_close(runner.losses(world, adaptation, rates), expected)
    else:
        with pytest.raises(ConfigError, match=r"rule Signed runs on adapt.engine=func only"):
            runner.output(world, adaptation, rates)


class Tied(nn.Module):
    """Two names for one parameter."""

    tables: frozenset[str] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False, dtype=torch.float64)
        self.second = nn.Linear(2, 2, bias=False, dtype=torch.float64)
        self.second.weight = self.first.weight

    def forward(self, batch: Batch) -> Tensor:
        return self.second(torch.tanh(self.first(batch.values))).sum(-1)


@pytest.mark.parametrize("tied_rule", [MAML(RATE), MetaSGD(RATE)], ids=["maml", "meta-sgd"])
def test_a_shared_parameter_adapts_wherever_it_is_used(
    engine: Engine, reference: ModuleType, tied_rule: InnerRule
) -> None:
    _, episodes = tiny_episode()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Tied()
    params = dict(model.named_parameters())
    assert list(params) == ["first.weight"]
    arguments = (
        model,
        params,
        tied_rule.init(params),
        Adaptation(tied_rule, 2, tuple(params)),
        episodes,
        logit_loss,
    )
    if isinstance(tied_rule, MetaSGD) and type(engine).__name__ == "Learn2learnEngine":
        with pytest.raises(ConfigError, match=r"'second.weight' is 'first.weight'"):
            engine(*arguments)
        return
    expected = [result.output for result in reference.adapt_users(*arguments)]
    torch.testing.assert_close(engine(*arguments), torch.stack(expected), rtol=0, atol=1e-12)

"""Plug-ins that violate their contract fail with one line that names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metaselector.common.errors import ConfigError, DataError, UserError
from metaselector.config import SelectorConfig
from metaselector.config.plugins.kinds import SELECTORS
from metaselector.data import registry as data_registry
from metaselector.data.planted import planted_world
from metaselector.evaluate.plugin_metric import metric_of_plugin
from metaselector.meta.adapt.rule_contract import check_rule, made_rule
from metaselector.meta.adapt.rules import MAML
from metaselector.models import registry
from metaselector.models.build import build_selector

PARAMS = {"selector.a": torch.ones(2, 3), "selector.b": torch.ones(4)}
SCHEMA = planted_world(2, 10, 4, np.random.default_rng(0)).dataset.schema


def raises(*arguments: Any, **more: Any) -> Any:
    raise KeyError("oh\x1b[31m")


# Rules


def rule(**changes: Any) -> Any:
    """MAML with other attributes."""
    made = MAML(0.1)
    return SimpleNamespace(
        **{name: getattr(made, name) for name in ("learnable", "second_order", "init", "update")}
        | changes
    )


def test_a_rule_that_is_one() -> None:
    check_rule("own", made_rule("own", rule), PARAMS)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (raises, r"^adapt.rule=own: cannot be built \(KeyError: 'oh.*test_wrong_plugins.py:\d+\)"),
        (
            lambda: None,
            "^adapt.rule=own: lacks the attribute 'learnable'; an inner rule",
        ),
        (lambda: rule(second_order=1), "lacks the attribute 'second_order'"),
        (lambda: rule(init=None), r"has no method init\(params\)"),
        (lambda: rule(update="x"), r"has no method update\(params, grads, rates\)"),
    ],
)
def test_invalid_rules(make: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        made_rule("own", make)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"init": raises}, r"^adapt.rule=own: fails in init \(KeyError: "),
        ({"init": lambda params: None}, "init gives NoneType, not a dictionary of tensors"),
        ({"init": lambda params: {"a": 1.0}}, "init gives dict, not a dictionary of tensors"),
        ({"init": lambda params: {"a": torch.ones(2)}}, r"rates of shape \[2\] for 'a'"),
        ({"update": raises}, r"fails in update \(KeyError: "),
        ({"update": lambda params, grads: {}}, r"fails in update \(TypeError: .* takes 2 pos"),
        ({"update": lambda params, grads, rates: [1]}, "update gives list"),
        (
            {"update": lambda params, grads, rates: {}},
            "update returns tensors whose names or shapes differ",
        ),
        (
            {"update": lambda params, grads, rates: {k: p[0] for k, p in params.items()}},
            "update returns tensors whose names or shapes differ",
        ),
    ],
)
def test_a_rule_that_does_something_else(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        check_rule("own", rule(**changes), PARAMS)


# Selectors and base models


class Gives(nn.Module):
    """Returns the result of `given` on its arguments."""

    given: Any

    def __init__(self, *shape: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, *given: Any) -> Any:
        assert not self.training
        return type(self).given(*given)


def giving(function: Any) -> type[Gives]:
    return type("Own", (Gives,), {"given": staticmethod(function)})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (raises, r"^selector.kind=own: fails to weigh \(KeyError: "),
        (lambda batch, p: None, "gives NoneType, not weights of the shape"),
        (lambda batch, p: p[:, :1], r"gives \[2, 1\], not weights of .*, here \[2, 3\]"),
        (lambda batch, p: p, "do not sum to 1"),
        (lambda batch, p: p * torch.nan, "non-finite"),
        (lambda batch, p: p.new_tensor([[2, -1, 0]] * 2), "negative"),
    ],
)
def test_a_selector_that_does_not_weigh(
    given: Any, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SELECTORS.registered, "own", giving(given))
    with pytest.raises(ConfigError, match=problem):
        build_selector(SelectorConfig(kind="own"), SCHEMA, 3, seed=0)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (raises, r"^base_models.mine: fails to score \(KeyError: "),
        (lambda batch: None, r"gives NoneType, not logits of shape \[2\]"),
        (lambda batch: batch.values, r"gives \[2, \d+\], not logits of shape \[2\]"),
    ],
)
def test_a_base_model_that_does_not_score(
    given: Any, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.MODELS.registered, "own", giving(given))
    with pytest.raises(ConfigError, match=problem):
        registry.build_base_model("own", SCHEMA, {}, 0, called="mine")


def test_an_option_of_the_wrong_type() -> None:
    with pytest.raises(ConfigError, match=r"^base_models.fm: FM cannot be built \(TypeError: "):
        registry.build_base_model("fm", SCHEMA, {"embedding_size": "wide"}, 0)


# Metrics and data sets


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (raises, r"^evaluate.metrics: own fails \(KeyError: "),
        (lambda y: 1.0, r"own fails \(TypeError: .*called as metric\(y, p, users\)"),
        (None, "own fails"),
        (lambda y, p, users: None, "own returns NoneType; it must return a number"),
        (lambda y, p, users: "0.5", "own returns str; it must return a number"),
        (lambda y, p, users: p, "own returns ndarray; it must return a number"),
    ],
)
def test_metrics_must_return_a_number(function: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        metric_of_plugin("own", function)(*np.zeros((3, 4)))


def test_numbers_of_all_kinds_are_metrics() -> None:
    for value in (1, 0.5, np.float32(0.5), np.array(0.5), np.nan):
        metric_of_plugin("own", lambda y, p, users, value=value: value)([1], [1], [1])


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (raises, "dataset 'own' has no attribute 'licence' of type str"),
        (type("Own", (), {"__init__": raises}), r"dataset 'own' cannot be built \(KeyError: "),
        (SimpleNamespace(licence="a", expected=None), "has no attribute 'expected' of type str"),
        (SimpleNamespace(licence="a", expected="b"), r"has no method read\(path\)"),
        (SimpleNamespace(licence="a", expected="b", read=raises), "'own' fails to read it"),
        (
            SimpleNamespace(licence="a", expected="b", read=lambda path: None),
            "read returns NoneType, not an InteractionTable",
        ),
    ],
)
def test_a_dataset_of_the_wrong_shape(
    source: Any, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(data_registry.PLUGINS.registered, "own", source)
    with pytest.raises((ConfigError, DataError), match=problem) as raised:
        data_registry.read("own", Path("log.csv"))
    assert isinstance(raised.value, UserError)
    assert "\x1b" not in str(raised.value)


def test_a_dataset_that_fails_while_rows_are_read(
    write_world: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = data_registry.read("movielens-100k", write_world(tmp_path))
    broken = replace(table, read=raises, describe_items=raises)
    source = SimpleNamespace(licence="a", expected="b", read=lambda path: broken)
    monkeypatch.setitem(data_registry.PLUGINS.registered, "own", source)
    found = data_registry.read("own", tmp_path)
    assert found.name == "own"
    with pytest.raises(DataError, match="'own' fails to read it"):
        next(iter(found.read()))
    with pytest.raises(DataError, match="'own' fails to read it"):
        found.describe_items([])

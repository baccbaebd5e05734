"""Checks that a plug-in is an inner rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metaselector.common.errors import ConfigError, UserError, mishap
from metaselector.meta.adapt.rules import InnerRule, Tensors

_LARGE = 2**16
"""Parameters with more elements are checked by two of their rows."""


def made_rule(name: str, make: Callable[..., InnerRule], *arguments: Any, **more: Any) -> InnerRule:
    """Build the inner rule that the settings call `name`.

    Raises:
        ConfigError: `make` fails, or does not return an inner rule.
    """
    rule = _called(name, "cannot be built", make, *arguments, **more)
    for attribute in ("learnable", "second_order"):
        if not isinstance(getattr(rule, attribute, None), bool):
            raise ConfigError(
                f"adapt.rule={name}: lacks the attribute '{attribute}'; an inner rule sets it to "
                "True or False"
            )
    for method, takes in (("init", "params"), ("update", "params, grads, rates")):
        if not callable(getattr(rule, method, None)):
            raise ConfigError(f"adapt.rule={name}: has no method {method}({takes})")
    made: InnerRule = rule
    return made


def check_rule(name: str, rule: InnerRule, params: Tensors) -> None:
    """Take a step from `params` with gradients of 0, and check the result.

    The rule gets two rows of a large table, as in training it gets the rows that a user touches.

    Raises:
        ConfigError: the rule fails, or returns tensors with wrong names or shapes.
    """
    with torch.no_grad():
        plain = {key: p for key, p in params.items() if type(p) in (Tensor, nn.Parameter)}
        own = {key: _some_rows(p.detach()) for key, p in plain.items()}  # not of sharded tables
        rates = _tensors(name, "init", _called(name, "fails in init", rule.init, own))
        for key, rate in rates.items():
            if rate.shape != (1,) and (key not in own or rate.shape != own[key].shape):
                raise ConfigError(
                    f"adapt.rule={name}: init gives rates of shape {list(rate.shape)} for '{key}'; "
                    "rates have shape [1] or that of the parameter"
                )
        grads = {key: torch.zeros_like(p) for key, p in own.items()}
        stepped = _called(name, "fails in update", rule.update, own, grads, rates)
        found = {key: p.shape for key, p in _tensors(name, "update", stepped).items()}
    if found != {key: p.shape for key, p in own.items()}:
        raise ConfigError(
            f"adapt.rule={name}: update returns tensors whose names or shapes differ from those of "
            "the parameters"
        )


def _some_rows(p: Tensor) -> Tensor:
    return p[:2] if p.numel() > _LARGE else p


def _called(
    name: str, what: str, function: Callable[..., Any], *arguments: Any, **more: Any
) -> Any:
    try:
        return function(*arguments, **more)
    except UserError:
        raise
    except Exception as error:  # whatever it does
        raise ConfigError(
            f"adapt.rule={name}: {what} ({mishap(error)}); correct the rule"
        ) from error


def _tensors(name: str, method: str, given: Any) -> dict[str, Tensor]:
    if not isinstance(given, Mapping) or not all(isinstance(t, Tensor) for t in given.values()):
        raise ConfigError(
            f"adapt.rule={name}: {method} gives {type(given).__name__}, not a dictionary of tensors"
        )
    return dict(given)

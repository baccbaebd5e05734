"""The variants of MetaSelector: names of rows of the results table, and what adapts in each.

``sample-selector`` is the selector without an inner loop. ``user-finetuned`` adapts the base models
of a plain average to each user, without meta-learning. In ``metaselector-simplified`` phi adapts,
in ``metaselector`` (joint) theta as well. These two also exist for each rule to compare with, which
ends their name: ``metaselector-maml``.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Literal, get_args

from metaselector.common.errors import CheckpointError, ConfigError
from metaselector.config import AdaptConfig
from metaselector.config.plugins.kinds import RULES
from metaselector.meta.adapt.adaptation import Adaptation, select_names
from metaselector.meta.adapt.rule_contract import check_rule, made_rule
from metaselector.meta.adapt.rules import MAML, InnerRule, Tensors
from metaselector.meta.parameters import PHI
from metaselector.models.mixture import Mixture
from metaselector.training.tensors import misfit, nonfinite

Variant = Literal[
    "sample-selector",
    "user-finetuned",
    "metaselector-simplified",
    "metaselector-simplified-maml",
    "metaselector-simplified-first-order-maml",
    "metaselector",
    "metaselector-maml",
    "metaselector-first-order-maml",
]
Kind = Literal["sample-selector", "user-finetuned", "metaselector-simplified", "metaselector"]
_ALL: tuple[Variant, ...] = get_args(Variant)
_KINDS: tuple[Kind, ...] = get_args(Kind)
LEARNED: tuple[Variant, ...] = ("sample-selector", "metaselector-simplified", "metaselector")
"""The variants with a learned selector and the rule of the settings."""


def kind_of(variant: Variant) -> Kind:
    """The variant without its rule."""
    return max((kind for kind in _KINDS if variant.startswith(kind)), key=len)


def settings_of(variant: Variant, config: AdaptConfig) -> AdaptConfig:
    """`config` with the rule of `variant`, if it names one."""
    rule = variant.removeprefix(kind_of(variant)).removeprefix("-")
    return config.model_copy(update={"rule": rule}) if rule else config


def variants_of(config: AdaptConfig) -> tuple[Variant, ...]:
    """All variants that the settings ask for; each follows the one it starts from."""
    rules = set(config.compared_rules) - {config.rule}
    return tuple(
        variant
        for variant in _ALL
        if variant in _KINDS or settings_of(variant, config).rule in rules
    )


def make_rule(config: AdaptConfig) -> InnerRule:
    """The inner rule that the settings ask for."""

    def rate(name: str) -> float:
        return config.inner_lr_phi if name.startswith(PHI) else config.inner_lr_theta

    make = RULES.load(config.rule)
    if not callable(make):
        raise ConfigError(f"adapt.rule={config.rule}: is neither a class nor a function")
    if "granularity" not in inspect.signature(make).parameters:
        return made_rule(config.rule, make, rate)
    if config.granularity == "scalar" and config.inner_lr_phi != config.inner_lr_theta:
        raise ConfigError(
            "adapt.granularity=scalar shares one rate: set adapt.inner_lr_phi and "
            f"adapt.inner_lr_theta to the same number (got {config.inner_lr_phi} and "
            f"{config.inner_lr_theta})"
        )
    return made_rule(config.rule, make, rate, granularity=config.granularity)


def make_adaptation(variant: Variant, mixture: Mixture, config: AdaptConfig) -> Adaptation:
    """The inner loop of a variant.

    Nothing adapts in sample-selector, phi in simplified, phi and theta in joint, theta in
    user-finetuned.

    Raises:
        ConfigError: the settings of the rule or of the adapted parameters are wrong.
    """
    kind, config = kind_of(variant), settings_of(variant, config)
    if kind == "user-finetuned":
        theta = tuple(n for n, _ in mixture.named_parameters() if not n.startswith(PHI))
        steps = config.finetune_steps if theta else 0  # base models that are scores have no theta
        return Adaptation(MAML(0.0, second_order=False), steps, theta)
    params = dict(mixture.named_parameters())
    names = select_names(params, config.parameters)
    if kind != "metaselector":
        names = tuple(name for name in names if name.startswith(PHI))
    steps = 0 if kind == "sample-selector" else config.steps
    if steps and not names:
        raise ConfigError(
            f"adapt.parameters={list(config.parameters)} selects no parameter of the selector"
        )
    rule = make_rule(config)
    if config.rule not in RULES.built_in:
        check_rule(config.rule, rule, {name: params[name] for name in names})
    return Adaptation(
        rule,
        steps,
        names if steps else (),
        half_lives=config.half_life_of_steps if steps else (),
        per_step=config.per_step,
        prior_rows=config.prior_rows,
    )


def check_rates(alpha: Tensors, adaptation: Adaptation, mixture: Mixture, where: Path) -> None:
    """Raise :class:`CheckpointError` if `alpha`, read from `where`, does not fit the inner loop."""
    params = {name: p.detach().to("meta") for name, p in mixture.named_parameters()}
    problem = misfit(alpha, adaptation.initial_rates(params)) or nonfinite(alpha)
    if problem:
        raise CheckpointError(f"{where}: of the inner rates {problem}; train it again")

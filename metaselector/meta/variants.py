"""The variants of MetaSelector: names of rows of the results table, and what adapts in each.

``sample-selector`` is the selector without an inner loop. In ``metaselector-simplified`` phi
adapts, in ``metaselector`` (joint) theta as well. Both also exist for each rule to compare with,
which ends their name: ``metaselector-maml``. ``metaselector-untrained`` is the joint one before any
meta-training. ``metaselector-paper`` and ``metaselector-paper-simplified`` follow the published
algorithm, without anything that this project added to it.

The rivals adapt without meta-learning: ``user-finetuned-plain`` starts from the plain average and
chooses one learning rate, ``user-finetuned`` chooses everything that the outer loop does not learn,
and ``user-finetuned-residuals`` adds attention over residuals to the latter.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Literal, get_args

import torch

from metaselector.common.errors import CheckpointError, ConfigError
from metaselector.config import AdaptConfig, Config
from metaselector.config.plugins.kinds import RULES
from metaselector.meta.adapt.adaptation import Adaptation, is_number, select_names
from metaselector.meta.adapt.residuals import ResidualAttention
from metaselector.meta.adapt.rule_contract import check_rule, made_rule
from metaselector.meta.adapt.rules import MAML, InnerRule, Tensors
from metaselector.meta.parameters import PHI
from metaselector.models.mixture import Mixture
from metaselector.training.tensors import misfit, nonfinite

Variant = Literal[
    "sample-selector",
    "user-finetuned-plain",
    "user-finetuned",
    "user-finetuned-residuals",
    "metaselector-paper-simplified",
    "metaselector-paper",
    "metaselector-untrained",
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
_RULES = ("maml", "first-order-maml")
LEARNED: tuple[Variant, ...] = ("sample-selector", "metaselector-simplified", "metaselector")
"""The variants with a learned selector and the rule of the settings."""
FINETUNED: tuple[Variant, ...] = ("user-finetuned-plain", "user-finetuned")
"""The variants whose inner loop is chosen on *valid*, without meta-training."""


def kind_of(variant: Variant) -> Kind:
    """What adapts: the variant without its rule and whose algorithm it is.

    Example:
        >>> kind_of("metaselector-paper-simplified"), kind_of("metaselector-first-order-maml")
        ('metaselector-simplified', 'metaselector')
    """
    if variant == "metaselector-paper-simplified":
        return "metaselector-simplified"
    return max((kind for kind in _KINDS if variant.startswith(kind)), key=len)


def start_of(variant: Variant) -> Variant | None:
    """The variant that must be trained before, since `variant` starts from what it has learned.

    Example:
        >>> start_of("user-finetuned-residuals"), start_of("sample-selector")
        ('user-finetuned', None)
    """
    if variant in ("sample-selector", "user-finetuned-plain"):
        return None
    return "user-finetuned" if variant == "user-finetuned-residuals" else "sample-selector"


def rule_of(variant: Variant) -> str | None:
    """The rule that ends the name of `variant`, if any."""
    rule = variant.removeprefix(kind_of(variant)).removeprefix("-")
    return rule if rule in _RULES else None


def config_of(variant: Variant, config: Config) -> Config:
    """The settings that meta-training and the inner loop of `variant` follow.

    Example:
        >>> from metaselector.config import Config
        >>> config_of("metaselector-paper", Config()).adapt.residuals.similarities
        ()
    """
    adapt, meta_train = config.adapt, config.meta_train
    if rule := rule_of(variant):
        adapt = adapt.model_copy(update={"rule": rule})
    if variant == "sample-selector":
        adapt = adapt.model_copy(update={"support_sizes": ()})
        meta_train = meta_train.model_copy(update=config.selector.of_training)
    if variant.startswith("metaselector-paper"):
        adapt = adapt.model_copy(update=config.paper.of_adapt)
        meta_train = meta_train.model_copy(update=config.paper.of_meta_train)
    return config.model_copy(update={"adapt": adapt, "meta_train": meta_train})


def variants_of(config: AdaptConfig) -> tuple[Variant, ...]:
    """All variants that the settings ask for; each follows the ones it starts from."""
    rules = {None, *config.compared_rules} - {config.rule}
    return tuple(v for v in _ALL if rule_of(v) in rules)


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


def make_adaptation(
    variant: Variant, mixture: Mixture, config: Config, alpha: Tensors | None = None
) -> Adaptation:
    """The inner loop of a variant.

    Nothing adapts in sample-selector, phi in simplified, phi and theta in joint and in
    user-finetuned, theta in user-finetuned-plain.

    Args:
        alpha: what was learned or chosen. Only the variants of user-finetuned need it: it says how
            many steps they take.

    Raises:
        ConfigError: the settings of the rule or of the adapted parameters are wrong.
    """
    kind, config = kind_of(variant), config_of(variant, config)
    settings, params = config.adapt, dict(mixture.named_parameters())
    if variant == "user-finetuned-plain":
        theta = tuple(name for name in params if not name.startswith(PHI))
        steps = settings.finetune_steps if theta else 0  # base models that are scores have no theta
        return Adaptation(MAML(0.0, second_order=False), steps, theta)
    if kind == "user-finetuned":
        given = [rate for name, rate in (alpha or {}).items() if not is_number(name)]
        return finetuning(
            tuple(params),
            len(given[0]) if given else 0,
            _residuals(mixture, config) if variant == "user-finetuned-residuals" else None,
        )
    names = select_names(params, settings.parameters)
    if kind != "metaselector":
        names = tuple(name for name in names if name.startswith(PHI))
    steps = 0 if kind == "sample-selector" else settings.steps
    if steps and not names:
        raise ConfigError(
            f"adapt.parameters={list(settings.parameters)} selects no parameter of the selector"
        )
    rule = make_rule(settings)
    if settings.rule not in RULES.built_in:
        check_rule(settings.rule, rule, {name: params[name] for name in names})
    return Adaptation(
        rule,
        steps,
        names if steps else (),
        half_lives=settings.half_life_of_steps if steps else (),
        per_step=settings.per_step,
        prior_rows=settings.prior_rows,
        time_decays=settings.time_decay_of_steps if steps else (),
        learned=settings.learned_weights and steps > 0,
        residuals=None if kind == "sample-selector" else _residuals(mixture, config),
    )


def finetuning(
    names: tuple[str, ...], steps: int, residuals: ResidualAttention | None = None
) -> Adaptation:
    """Plain gradient steps, whose rates and weights of rows are all given by alpha."""
    rule = MAML(0.0, second_order=False)
    return Adaptation(
        rule, steps, names if steps else (), per_step=True, learned=steps > 0, residuals=residuals
    )


def _residuals(mixture: Mixture, config: Config) -> ResidualAttention | None:
    settings = config.adapt.residuals
    if not settings.enabled:
        return None
    names = () if mixture.similarity is None else mixture.similarity.names
    starts = settings.model_dump(exclude={"enabled", "similarities"})
    return ResidualAttention(names, **starts)


def check_rates(alpha: Tensors, adaptation: Adaptation, mixture: Mixture, where: Path) -> None:
    """Raise :class:`CheckpointError` if `alpha`, read from `where`, does not fit the inner loop."""
    params = {
        name: torch.empty(p.shape, dtype=p.dtype, device="meta")
        for name, p in mixture.named_parameters()
    }
    problem = misfit(alpha, adaptation.initial_rates(params)) or nonfinite(alpha)
    if problem:
        raise CheckpointError(f"{where}: of the inner rates {problem}; train it again")

"""The rows of the table that adapt: their names, and what each stands for.

``sample-selector`` is the selector without an inner loop; ``user-finetuned`` adapts the base models
of a plain average to each user, with nothing learned beforehand; of ``metaselector-simplified`` phi
adapts, of ``metaselector`` (joint) theta as well. The latter two exist once more for each rule to
compare with, which ends their name: ``metaselector-maml``.
"""

from __future__ import annotations

from typing import Literal, get_args

from metaselector.config import AdaptConfig

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
"""Those whose selector is learned, by the rule of the settings."""


def kind_of(variant: Variant) -> Kind:
    """`variant` without its rule."""
    return max((kind for kind in _KINDS if variant.startswith(kind)), key=len)


def settings_of(variant: Variant, config: AdaptConfig) -> AdaptConfig:
    """`config` with the rule of `variant`, where it names one."""
    rule = variant.removeprefix(kind_of(variant)).removeprefix("-")
    return config.model_copy(update={"rule": rule}) if rule else config


def variants_of(config: AdaptConfig) -> tuple[Variant, ...]:
    """All that the settings ask for, each after what it starts from."""
    rules = set(config.compared_rules) - {config.rule}
    return tuple(
        variant
        for variant in _ALL
        if variant in _KINDS or settings_of(variant, config).rule in rules
    )

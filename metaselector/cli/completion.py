"""What the shell offers for the value of an option: names, choices, and settings with theirs.

Nothing here imports torch or pandas, so that the shell does not wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from metaselector.config.section import Section

FETCHED = (
    "movielens-100k",
    "movielens-100k-funnel",
    "movielens-1m",
    "movielens-10m",
    "movielens-20m",
    "movielens-25m",
    "movielens-32m",
    "movietweetings",
    "census-income",
    "amazon-electronics",
    "amazon-musical-instruments",
)
"""Data sets that can be fetched. Named here too, because the registry is slow to import; a test
compares the two."""
SELECTORS = ("sample-selector", "metaselector-simplified", "metaselector")
"""Trained selectors, named here for the same reason."""
_TYPED_KEY = "COMP_KEY"
"""Beside bash's variables: the ``KEY=`` before the word that bash completes."""
_DEVICES = ("cpu", "cuda")


def of_setting(key: str) -> Callable[[str], list[str]]:
    """Offer the values of the setting with the dotted name `key`, if they can be listed."""

    def complete(incomplete: str) -> list[str]:
        return _choices(key)

    return complete


def fetched(incomplete: str) -> list[str]:
    """Offer the data sets that can be fetched."""
    return list(FETCHED)


def targets(incomplete: str) -> list[str]:
    """Offer the models that ``metaselector tune`` can tune with the default settings."""
    from metaselector.config.models import SINGLE_TASK

    return [*SELECTORS, *SINGLE_TASK]


def key_and_value(incomplete: str) -> list[str]:
    """Offer ``KEY=VALUE``: the next part of the key, or its values.

    Of values that cannot be listed, the default is offered. If there is only one section, what is
    in it is offered, because shells put a space after a lone completion.
    """
    typed = os.environ.get(_TYPED_KEY, "")
    key, equals, _ = (typed + incomplete).partition("=")
    settings = _settings()
    if not equals:
        keys = _next_parts(settings, key)
        while len(keys) == 1 and keys[0].endswith("."):
            keys = _next_parts(settings, keys[0])
        if len(keys) != 1:
            return keys
        key = keys[0]
    listed = key in settings and isinstance(settings[key][0], tuple)
    values = [] if listed else _choices(key) or _default(settings, key)
    lines = [f"{key}={value}" for value in values or ([] if equals else [""])]
    return [line.removeprefix(typed) for line in lines]


def join_words() -> None:
    """Undo how bash splits words at ``=``, in the variables with which it asks for completions.

    ``--set adapt.rule=ma`` arrives as four words, of which bash replaces the last; so does
    ``--dataset=movie`` as three.
    """
    if "COMP_WORDS" not in os.environ:
        return
    joined: list[str] = []
    after = False
    for word in os.environ["COMP_WORDS"].split("\n")[: int(os.environ["COMP_CWORD"]) + 1]:
        if joined and (word == "=" or after):
            joined[-1] += word
        else:
            joined.append(word)
        after = word == "="
    *words, last = joined
    if last.startswith("-") and "=" in last:
        option, _, last = last.partition("=")
        words.append(option)
    key, equals, last = last.rpartition("=")
    os.environ[_TYPED_KEY] = key + equals
    os.environ["COMP_WORDS"] = "\n".join([*words, last])
    os.environ["COMP_CWORD"] = str(len(words))


def _next_parts(settings: Iterable[str], typed: str) -> list[str]:
    """Settings and sections, which end in a dot, that `typed` is the beginning of."""
    found: dict[str, None] = {}
    for key in settings:
        if key.startswith(typed):
            part, dot, _ = key.removeprefix(typed).partition(".")
            found[typed + part + dot] = None
    return list(found)


def _settings() -> dict[str, tuple[Any, Any]]:
    """Default and annotation of each setting, by dotted name."""
    from metaselector.config import BaseModelConfig, Config

    found: dict[str, tuple[Any, Any]] = {}

    def add(section: Section, prefix: str) -> None:
        for name, info in type(section).model_fields.items():
            value = getattr(section, name)
            if hasattr(value, "model_fields_set"):
                add(value, f"{prefix}{name}.")
            elif name == "base_models":
                others = {
                    model: BaseModelConfig() for model in _offered("metaselector.base_models")
                }
                for model, settings in (others | value).items():
                    add(settings, f"{prefix}{name}.{model}.")
            else:
                found[prefix + name] = value, info.annotation

    add(Config(), "")
    return found


def _default(settings: dict[str, tuple[Any, Any]], key: str) -> list[str]:
    value, _ = settings.get(key, (None, None))
    return [str(value)] if isinstance(value, int | float | str) else []


def _choices(key: str) -> list[str]:
    """The values of a setting that can be listed."""
    from metaselector.config.meta import COMM_KINDS
    from metaselector.config.plugins import kinds

    plugins = {
        "adapt.rule": kinds.RULES,
        "selector.kind": kinds.SELECTORS,
        "tracking": kinds.TRACKERS,
    }
    if key in plugins:
        return plugins[key].names()
    if key == "dataset":
        return [*FETCHED, "amazon", *_offered("metaselector.datasets")]
    if key == "device":
        return list(_DEVICES)
    if key == "meta_train.comm":
        return [kind.partition(":")[0] + ":" * (":" in kind) for kind in COMM_KINDS.split(", ")]
    if key.startswith("base_models.") and key.endswith(".model"):
        return _offered("metaselector.base_models")
    return _listed(_settings().get(key, (None, None))[1])


def _listed(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    if annotation is bool:
        return ["true", "false"]
    if get_origin(annotation) is tuple:
        return []
    return [value for inner in get_args(annotation) for value in _listed(inner)]


def _offered(group: str) -> list[str]:
    return sorted({point.name for point in entry_points(group=group)})

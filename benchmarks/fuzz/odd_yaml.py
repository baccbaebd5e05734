"""Broken, odd or hostile YAML made from a valid mapping."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import yaml

from benchmarks.fuzz.mutations import mutated, word

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 0.5, -0.0, 1e308, float("nan"), float("inf"), 2**63, 10**400,
    2**31, "", "1", "yes", "x", [], [1], [[]], {}, {"a": 1}, [None], ["x", 1], b"\xff",
    datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2, 3, 4), {1: 2}, {None: None},
    "x.py:Y", "a.b:C", "../x",
)  # fmt: skip
"""Values that replace proper ones."""


def odd_yaml(random: Random, settings: Any) -> bytes:
    """`settings` with one to three odd values or keys; sometimes the text is damaged too."""
    if random.random() < 0.1:
        return random.choice(HOSTILE)(random).encode()
    given = odd_settings(random, settings)
    data = yaml.safe_dump(given, sort_keys=False, allow_unicode=True).encode()
    return mutated(random, data) if random.random() < 0.25 else data


def odd_settings(random: Random, settings: Any) -> Any:
    """A copy with one to three values or keys changed."""
    given = copy.deepcopy(settings)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = [*_places(given)]
        holder, key = random.choice(places) if places else (None, None)
        match random.randrange(8):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[odd_value(random, hashable=True)] = holder.pop(key)
            case 2 if isinstance(holder, dict):
                holder[word(random)] = odd_value(random)
            case _ if holder is not None:
                holder[key] = near(random, holder[key])
    return given


def odd_value(random: Random, hashable: bool = False) -> Any:
    """A value of any YAML type."""
    while True:
        found = random.choice(VALUES) if random.random() < 0.7 else word(random)
        if not hashable or isinstance(found, str | int | float | None):
            return copy.deepcopy(found)


def near(random: Random, value: Any) -> Any:
    """Another value, mostly of the same type."""
    if random.random() < 0.6:
        if isinstance(value, bool):
            return not value
        if isinstance(value, int | float):
            return random.choice((value + 1, -value, value * 10, value // 3, str(value), [value]))
        if isinstance(value, str):
            return mutated(random, value.encode(), 2).decode(errors="replace")
        if isinstance(value, list):
            return value * 2 if random.random() < 0.5 else value[:-1]
    return odd_value(random)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each key of each mapping and each index of each list, with its container."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            yield from _places(inner)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield value, place
            yield from _places(inner)


def _bomb(open_: str, close: str, width: int, depth: int) -> str:
    """Aliases of aliases: a few lines that expand to ``width ** depth`` values."""
    lines = [f"a0: &a0 {open_}x{close}" if open_ == "[" else "a0: &a0 {k: x}"]
    for level in range(1, depth):
        inner = ", ".join(
            f"*a{level - 1}" if open_ == "[" else f"k{i}: *a{level - 1}" for i in range(width)
        )
        lines.append(f"a{level}: &a{level} {open_}{inner}{close}")
    return "\n".join(lines) + "\n"


HOSTILE: tuple[Callable[[Random], str], ...] = (
    lambda r: _bomb("[", "]", r.choice((2, 9)), r.choice((3, 9, 30))),
    lambda r: _bomb("{", "}", r.choice((2, 9)), r.choice((3, 9, 30))),
    lambda r: "a: " + "[" * r.choice((50, 1000, 20_000)) + "]" * r.choice((0, 50, 20_000)) + "\n",
    lambda r: "a: " + "{a: " * r.choice((50, 1000, 20_000)) + "\n",
    lambda r: "\n".join(" " * level + "a:" for level in range(r.choice((50, 1500)))) + "\n",
    lambda r: "a: &a [*a]\n",
    lambda r: "a: &a {b: *a}\nadapt: *a\n",
    lambda r: "<<: &a {<<: *a}\n",
    lambda r: f"a: {'9' * r.choice((400, 5000, 60_000))}\n",
    lambda r: f"a: {'1:' * r.choice((5, 2000))}1\n",  # numbers in base 60
    lambda r: f"{'x' * r.choice((200, 60_000))}: 1\n",
    lambda r: r.choice(("- 1\n", "x\n", "5\n", "\x00", "---\n---\n", "? {a: 1}\n: 2\n", "? [a]\n")),
    lambda r: r.choice(("!!python/name:os.getpid ''\n", "!!set {a}\n")),
    lambda r: r.choice(("a: !!float x\n", "a: !!int x\n", "a: !!bool x\n", "a: !!null x\n")),
    lambda r: r.choice(("a: 2020-99-99\n", "a: 2020-01-01T99:00:00\n", "a: !!timestamp x\n")),
    lambda r: r.choice(("a: 0b\n", "a: 0x\n", "a: 1__2\n", "a: .\n", "a: !!binary '='\n")),
    lambda r: "a: 'no end\n" + "x\n" * r.choice((1, 5000)),
)  # fmt: skip

"""Read untrusted YAML safely and within limits, with errors of one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from metaselector.common.errors import ConfigError

MOST_BYTES = 1_000_000
MOST_NODES = 50_000
"""Most values, with aliases expanded: a file of 1 kB can expand to 10^9 values."""
MOST_LEVELS = 100
"""Deepest nesting of mappings and lists, also through aliases."""
MOST_INTEGER = 10**100
"""Limit of whole numbers; larger ones are no sensible setting and may not print."""
SHOWN = 200
"""Most characters of a value, or of a YAML error, that a message repeats."""

# libyaml's parser is 20 times faster; values are constructed by the same Python code.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]
    """YAML's safe loader, with a position in every error."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except yaml.MarkedYAMLError:
            raise
        except Exception as error:  # constructors may raise anything, as for a date in month 13
            kind = node.tag.split(":")[-1]
            said = f"'{shown(node.value)}' is" if isinstance(node, yaml.ScalarNode) else "this is"
            raise _refused(f"{said} not a valid {kind}", node) from error
        if isinstance(value, bytes | set):
            raise _refused("bytes and sets are not allowed in settings", node)
        if isinstance(value, int) and abs(value) >= MOST_INTEGER:
            raise _refused("a whole number of more than 100 digits", node)
        return value

    def check_keys(self, root: yaml.Node) -> None:
        """Reject keys that are not plain values, and duplicates, of which YAML keeps the last."""
        for node in _mappings(root):
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise _refused("a key must be a word or a number", key)
                name = key.value if key.tag.endswith(":merge") else self.construct_object(key)
                if name in seen:
                    raise _refused(f"'{shown(key.value)}' is given twice; remove one", key)
                seen.add(name)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read the mapping in `path`; an empty file is an empty mapping.

    Raises:
        ConfigError: the file cannot be read, is not valid YAML, repeats a key, is not a mapping, or
            exceeds the limits above.
    """
    given = read_yaml(_text(path), str(path))
    if given is None:
        return {}
    if not isinstance(given, dict):
        kind = type(given).__name__
        raise ConfigError(f"{path}: expected `key: value` lines, found {kind}")
    return given


def read_yaml(text: str, source: str, *, lines: bool = True) -> Any:
    """Parse `text`.

    Args:
        source: name of the text in messages.
        lines: whether messages give the line.

    Raises:
        ConfigError: as :func:`read_mapping`.
    """
    try:
        _check_bounds(text)
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        loader.check_keys(root)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        # libyaml counts one line too many if the text ends early.
        line = min(mark.line, text.count("\n")) + 1 if mark else None
        problem = str(error.problem)
        if problem.startswith("but "):
            problem = f"{error.context}, {problem}"
    except yaml.reader.ReaderError as error:
        line = text.encode(errors="replace").count(b"\n", 0, error.position) + 1
        problem = "a control character"
    except (yaml.YAMLError, ValueError) as error:
        line, problem = None, str(error)
    where = source if line is None or not lines else f"{source}:{line}"
    raise ConfigError(f"{where}: not valid YAML ({shown(problem)})")


def line_of(path: Path, key: Sequence[str | int]) -> int | None:
    """The line of `path` that sets `key`; :func:`read_mapping` must have read the file."""
    node: yaml.Node | None = yaml.compose(_text(path), _Safe)
    line = None
    for part in key:
        if isinstance(node, yaml.MappingNode):
            pairs = [(name, value) for name, value in node.value if name.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            pairs = [(value, value) for value in node.value[part : part + 1]]
        else:
            return line
        if not pairs:
            return line
        place, node = pairs[-1]
        line = place.start_mark.line + 1
    return line


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{path}: larger than {MOST_BYTES:,} bytes, the limit for settings")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not valid YAML (it is not UTF-8)") from error


def _check_bounds(text: str) -> None:
    """Reject too many values, too deep nesting, and aliases that refer to themselves."""
    total = 0
    # For each open collection: its anchor, values before it, and levels inside it.
    around: list[tuple[str | None, int, int]] = [(None, 0, 0)]
    known: dict[str, tuple[int, int]] = {}  # values and levels by anchor
    for event in yaml.parse(text, _Safe):
        levels = 0
        if isinstance(event, yaml.CollectionStartEvent):
            around.append((event.anchor, total, 0))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before, levels = around.pop()
            levels += 1
            if anchor is not None:
                known[anchor] = total - before, levels
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                known[event.anchor] = 1, 0
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, *_ in around):
                raise _refused(f"*{shown(event.anchor)} refers to itself", event)
            nodes, levels = known.get(event.anchor or "", (1, 0))
            total += nodes
        around[-1] = *around[-1][:2], max(around[-1][2], levels)
        if total > MOST_NODES:
            raise _refused(f"more than {MOST_NODES:,} values once aliases are expanded", event)
        if len(around) + levels > MOST_LEVELS:
            raise _refused(f"more than {MOST_LEVELS} levels of nesting", event)


def _mappings(root: yaml.Node) -> Iterator[yaml.MappingNode]:
    """Yield all mappings under `root` once, outer ones first."""
    waiting, seen = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            yield node
            inner = [value for pair in node.value for value in pair]
        else:
            inner = node.value if isinstance(node, yaml.SequenceNode) else []
        for value in inner:
            if id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)


def _refused(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def shown(value: object) -> str:
    """`value` for a message, on one line and shortened if long."""
    text = " ".join(str(value)[: 2 * SHOWN].split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."

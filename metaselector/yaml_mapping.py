"""A YAML file of ``key: value`` lines, read safely, with mistakes told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from metaselector.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which takes the last of two equal keys, made to refuse them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"'{key.value}' is given twice; remove one of the two"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """What `path` holds, nothing being an empty mapping.

    Raises:
        ConfigError: it cannot be read, is not valid YAML, repeats a key, or holds no mapping.
    """
    try:
        given = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML ({error.problem})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid YAML ({problem})") from error
    if given is None:
        return {}
    if not isinstance(given, dict):
        found = type(given).__name__
        raise ConfigError(f"{path}: expected `key: value` lines, found {found}")
    return given

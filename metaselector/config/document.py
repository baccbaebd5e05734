"""Settings as YAML, with each setting's description as a comment."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from metaselector.config.config import Config


def documented_yaml(config: Config) -> str:
    """`config` as YAML that :func:`load_config` reads back, with descriptions as comments.

    Example:
        >>> from metaselector.config import load_config
        >>> "adapt:" in documented_yaml(load_config())
        True
    """
    lines: list[str] = []

    def write(model: BaseModel, indent: str) -> None:
        for name, info in type(model).model_fields.items():
            value = getattr(model, name)
            if isinstance(value, BaseModel):
                lines.append(f"{indent}{name}:")
                write(value, indent + "  ")
            elif name == "base_models":
                lines.append(f"{indent}{name}:{_comment(info)}")
                for model_name, base_model in value.items():
                    lines.append(f"{indent}  {model_name}:")
                    write(base_model, indent + "    ")
            else:
                lines.append(f"{indent}{name}: {_inline(value)}{_comment(info)}")

    write(config, "")
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    plain = [_plain(each) for each in value] if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True).removesuffix("\n...\n").strip()


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _comment(info: FieldInfo) -> str:
    return f"  # {info.description}" if info.description else ""

"""The directive ``settings``: every setting of the configuration, with its default and meaning."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from metaselector import config
from metaselector.config import BaseModelConfig, Config, ScoresConfig
from metaselector.config.models import MULTI_TASK, OF_DATASETS, SINGLE_TASK

NAMED = "<name>"
"""Stands for a base model's name in the keys of its settings."""

PARTS = {"base_models": BaseModelConfig, "scores": ScoresConfig}
"""Sections whose model is not the type of their field."""

SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


class Setting(NamedTuple):
    """One line of the reference; all but the key are Markdown."""

    key: str
    kind: str
    default: str
    meaning: str


def sections(
    model: type[BaseModel] = Config, prefix: str = ""
) -> Iterator[tuple[str, list[Setting]]]:
    """Sections by their prefix, such as ``adapt.``, outer ones first."""
    inner: list[tuple[type[BaseModel], str]] = []
    settings: list[Setting] = []
    for name, field in model.model_fields.items():
        part = PARTS.get(name, field.annotation)
        if isinstance(part, type) and issubclass(part, BaseModel):
            inner.append(
                (part, f"{prefix}{name}." + (f"{NAMED}." if name == "base_models" else ""))
            )
        else:
            settings.append(_described(prefix + name, field))
    yield prefix, settings
    for part, deeper in inner:
        yield from sections(part, deeper)


def _described(key: str, field: FieldInfo) -> Setting:
    bounds = [
        f"{sign} {getattr(limit, bound)}"
        for limit in field.metadata
        for bound, sign in SIGNS.items()
        if getattr(limit, bound, None) is not None
    ]
    if field.is_required():
        default = "*required*"
    else:
        default = f"`{_value(field.get_default(call_default_factory=True, validated_data={}))}`"
    kind, null, _ = _kind(field.annotation).partition(" or null")
    kind = " ".join([kind, ", ".join(bounds)]).strip() + null
    return Setting(key, kind, default, _markdown(field.description or ""))


def _kind(annotation: Any) -> str:
    """A type in the words of a YAML user."""
    arguments, origin = get_args(annotation), get_origin(annotation)
    if origin in (types.UnionType, Union):
        return " or ".join(_kind(one) for one in arguments)
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list, each {_kind(arguments[0])}"
    if origin is dict:
        return f"mapping, each value {_kind(arguments[1])}"
    if origin is Annotated:
        return _kind(arguments[0])
    names = {
        bool: "true or false",
        int: "whole number",
        float: "number",
        str: "text",
        datetime: "date or time",
        Any: "anything",
    }
    return "null" if annotation is types.NoneType else names[annotation]


def _value(value: Any) -> str:
    """A default as YAML."""
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True).removesuffix("\n...\n").strip()


def _markdown(text: str) -> str:
    """`text` with pipes, angle brackets and stars escaped; code in backquotes stays unchanged."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([|<>*\\])", r"\\\1", part) for part in parts
    )


def markdown() -> str:
    """The reference: a heading and a table for each section."""
    lines: list[str] = []
    for prefix, settings in sections():
        if not settings:
            continue
        title = f"`{prefix.removesuffix('.')}`" if prefix else "Whole run"
        lines += ["", f"## {title}", ""]
        if prefix == f"base_models.{NAMED}.":
            lines += [_default_models(), ""]
        lines += ["| setting | default | meaning |", "| --- | --- | --- |"]
        lines += [
            f"| [`{key}`]{{#{anchor(key)}}} | {default} | {meaning} <br>*{kind}* |"
            for key, kind, default, meaning in settings
        ]
    return "\n".join(lines)


def _default_models() -> str:
    """The base models of a run whose settings name none."""
    usual, several = (yaml.safe_dump(m, sort_keys=False).strip() for m in (SINGLE_TASK, MULTI_TASK))
    of_several = " and ".join(f"`{name}`" for name in OF_DATASETS)
    meaning = _markdown(Config.model_fields["base_models"].description or "")
    return (
        f"{meaning[0].upper()}{meaning[1:]}.\n\n"
        f"A run that names none uses these:\n\n```yaml\n{usual}\n```\n\n"
        f"and on {of_several}:\n\n```yaml\n{several}\n```"
    )


def anchor(key: str) -> str:
    """The anchor of a setting."""
    return "setting-" + re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")


class Settings(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(__file__)
        for path in sorted(Path(config.__file__).parent.glob("*.py")):
            self.env.note_dependency(f"../metaselector/config/{path.name}")
        return self.parse_text_to_nodes(markdown(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

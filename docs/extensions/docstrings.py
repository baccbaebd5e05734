"""Names in docstrings: links where a page describes them, plain words elsewhere.

A name that does not exist in the source is still a warning, and so an error.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

OURS = ("metaselector", "base_models")


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, words: nodes.TextElement
) -> nodes.Node | None:
    """A link to something documented under another of its names, or plain words."""
    if node.get("refdomain") != "py":
        return None
    found = _find(node["reftarget"], node.get("py:module"), node.get("py:class"))
    objects = env.domains.python_domain.objects
    if found is None:  # a class that its module names without importing it
        (name, *others) = [n for n in objects if n.endswith(f".{node['reftarget']}")] or [None]
        if name is None or others:
            return None
        described = objects[name]
    else:
        module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
        names = [key for key in (f"{module}.{name}", f"metaselector.{name}") if key in objects]
        if not names:
            return words
        described = objects[names[0]]
    return make_refnode(app.builder, node["refdoc"], described.docname, described.node_id, words)


def _find(target: str, module: str | None, owner: str | None) -> Any:
    """The object that `target` names, seen from a module or class of ours; None if none exists."""
    starts = [".".join([module, owner]) if owner else module, module] if module else []
    if owner:  # of a class that is documented where it is exported, the module that defines it
        starts.append(getattr(_import(starts[0]), "__module__", module))
    for name in (*(f"{start}.{target}" for start in starts), target):
        if name.split(".")[0] in OURS and (found := _import(name)) is not None:
            return found
    return None


def _import(name: str) -> Any:
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            fields = getattr(found, "__annotations__", {})
            found = getattr(found, part, fields.get(part))
            if found is None:
                return None
        return found
    return None


COLON = "\ue000"
SEVERAL = re.compile(r"(\s+)(\w+(?:, \w+)*), (\w+): ")


def hide_colons(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Keep napoleon from reading an attribute's words before a colon as its type.

    Napoleon allows several names before a colon for arguments, but not for attributes.
    """
    if what in {"attribute", "data", "property"}:
        lines[:] = [line.replace(":", COLON) for line in lines]
    elif "Attributes:" in lines:
        attributes = lines.index("Attributes:")
        for i in reversed(range(attributes, len(lines))):
            if match := SEVERAL.match(lines[i]):
                indent, others, last = match.groups()
                lines[i] = f"{indent}{last}: {lines[i][match.end() :]}"
                lines[i:i] = [f"{indent}{each}: See `{last}`." for each in others.split(", ")]


def show_colons(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    lines[:] = [line.replace(COLON, ":") for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", hide_colons, priority=400)
    app.connect("autodoc-process-docstring", show_colons, priority=600)  # napoleon's is 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""The directive ``commands``: all commands with their options, as ``--help`` shows them."""

from __future__ import annotations

import re
from pathlib import Path

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click

from metaselector import cli


def markdown() -> str:
    """The reference that Typer writes, without its title."""
    group = typer.main.get_command(cli.app)
    text = get_docs_for_click(obj=group, ctx=typer.Context(group, info_name="metaselector"))
    _, _, rest = text.partition("\n## ")
    text = re.sub(r"^### ", "## ", "## " + rest, flags=re.MULTILINE)
    return _escaped(text.replace("```console", "```text"))


def _escaped(text: str) -> str:
    """Escape every < and mark options as code, except in text that is code already."""
    parts = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.DOTALL)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"--[a-z][a-z-]*", r"`\g<0>`", parts[i].replace("<", "\\<"))
    return "".join(parts)


class Commands(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(__file__)
        for path in sorted(Path(cli.__file__).parent.glob("*.py")):
            self.env.note_dependency(f"../metaselector/cli/{path.name}")
        return self.parse_text_to_nodes(markdown(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

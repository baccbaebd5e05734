"""The directive ``reliability``: the fuzzer's figures at build time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extensions.repository_links import ROOT
from extensions.results import Generated
from sphinx.application import Sphinx

FILE = "fuzz.json"
GROUPS = ("inputs", "damaged", "kills")
_COLUMNS = {
    "tried": "tried",
    "success": "success",
    "refused": "`UserError`",
    "findings": "anything else",
    "worst_seconds": "most seconds",
    "worst_mb": "most MB",
}


def reliability(folder: Path) -> str:
    """Tables of all groups and their targets; a sentence if nothing was measured yet."""
    path = folder / FILE
    if not path.exists():
        return "*Not measured yet; run `make fuzz`.*"
    measured = json.loads(path.read_text(encoding="utf-8"))
    groups = {name: measured[name] for name in GROUPS if name in measured}
    targets = {name: f for group in groups.values() for name, f in group["targets"].items()}
    machine, versions = measured["machine"], measured["versions"]
    tried = ", ".join(
        f"{name}: {figures['date']}, seed {figures['seed']}, {figures['minutes']:g} minutes"
        for name, figures in groups.items()
    )
    return "\n".join(
        [
            *_table("group", groups),
            "",
            *_table("target", targets),
            "",
            f"*{tried}; {machine['processor']}, {machine['cores']} cores; "
            + ", ".join(f"{name} {version}" for name, version in versions.items())
            + f". Seconds are the most processor time of one input, MB the growth of the process; "
            f"kills measure neither. "
            f"All figures: [{FILE}](/../{path.relative_to(ROOT).as_posix()}).*",
        ]
    )


def _table(first: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = [
        f"| {name} | " + " | ".join(f"{figures[column]:,}" for column in _COLUMNS) + " |"
        for name, figures in rows.items()
    ]
    rule = "| --- |" + " ---: |" * len(_COLUMNS)
    return [f"| {first} | {' | '.join(_COLUMNS.values())} |", rule, *found]


class Reliability(Generated):
    write = staticmethod(reliability)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("reliability", Reliability)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

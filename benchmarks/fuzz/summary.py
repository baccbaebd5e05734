"""Results of a campaign: figures, and each defect once."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.fuzz.pool import Tried
from benchmarks.fuzz.target import Group, Target, random_of

KEPT = 3
"""Number of inputs to keep per defect."""


@dataclass
class Tally:
    """Outcomes of the inputs of a target."""

    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    mb: float = 0.0

    def add(self, tried: Tried) -> None:
        outcome = tried.outcome
        self.kinds["findings" if outcome.is_finding else outcome.kind] += 1
        self.seconds, self.mb = max(self.seconds, outcome.seconds), max(self.mb, outcome.mb)

    def figures(self) -> dict[str, float]:
        return {
            "tried": self.kinds.total(),
            "success": self.kinds["success"],
            "refused": self.kinds["refused"],
            "findings": self.kinds["findings"],
            "worst_seconds": round(self.seconds, 2),
            "worst_mb": round(self.mb, 1),
        }


@dataclass
class Summary:
    """Outcomes of a campaign, collected as they arrive.

    Attributes:
        targets: all targets.
        seed: seed of the inputs.
        folder: folder for inputs that reveal a defect.
    """

    targets: Mapping[str, Target]
    seed: int
    folder: Path
    tallies: dict[str, Tally] = field(default_factory=dict)
    defects: Counter[str] = field(default_factory=Counter)

    def add(self, tried: Tried) -> str | None:
        """Count an outcome; return a line to print if it is the first of its defect."""
        self.tallies.setdefault(tried.target, Tally()).add(tried)
        if not tried.outcome.is_finding:
            return None
        defect = signature(tried)
        self.defects[defect] += 1
        if self.defects[defect] > KEPT:
            return None
        place = self._keep(tried)
        said = f"{tried.target} {tried.number}: {defect}: {tried.outcome.said}; kept in {place}"
        return said if self.defects[defect] == 1 else None

    def _keep(self, tried: Tried) -> Path:
        """Write the input again, together with its outcome."""
        place, target = self.folder / f"{tried.target}-{tried.number}", self.targets[tried.target]
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        if target.group != "kills":
            # An input whose creation failed fails again.
            with warnings.catch_warnings(), suppress(Exception):
                warnings.simplefilter("ignore")
                target.write(random_of(self.seed, target.name, tried.number), place)
        again = f"python -m benchmarks.fuzz --seed {self.seed} --target {target.name} "
        again += f"--only {tried.number}"
        outcome = tried.outcome
        text = f"{again}\n{outcome.kind}: {outcome.said}\n{outcome.where}\n\n{outcome.trace}"
        (place / "finding.txt").write_text(text, encoding="utf-8")
        return place

    def figures(self, group: Group) -> dict[str, Any]:
        """Figures of a group and of each of its targets."""
        found = {n: t.figures() for n, t in self.tallies.items() if self.targets[n].group == group}
        whole = {
            key: (max if key.startswith("worst") else sum)([0, *(f[key] for f in found.values())])
            for key in Tally().figures()
        }
        return {**whole, "seed": self.seed, "targets": dict(sorted(found.items()))}


def signature(tried: Tried) -> str:
    """A text that inputs with the same defect share."""
    outcome = tried.outcome
    if outcome.kind == "different":
        said = re.sub(r"[^a-z ]+", "", outcome.said.partition(":")[0])
        return f"different ({tried.target}): {said[:40]}"
    error = outcome.said.partition(":")[0] if outcome.kind == "traceback" else outcome.kind
    return f"{error} at {outcome.where or tried.target}"


def save(path: Path, groups: Mapping[str, Any]) -> None:
    """Write figures as JSON; groups that were not tried keep their figures in the file."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = {name: figures for name, figures in before.items() if isinstance(figures, dict)}
    day = datetime.now(UTC).date().isoformat()
    made = {name: {**figures, "date": day} for name, figures in groups.items()}
    where = {
        "machine": measure.machine(),
        "versions": measure.versions("numpy", "pandas", "pyarrow", "PyYAML", "safetensors"),
    }
    measure.save(path, {**kept, **made, **where})

"""The order of parts that run side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.config import load_config
from metaselector.runs.run import Run
from metaselector.runs.stages.parts import parts_of


@pytest.fixture
def run(tmp_path: Path) -> Run:
    path = tmp_path / "small.yaml"
    path.write_text("{seeds: [0, 3], base_models: {lr: {}, fm: {}}}")
    return Run(tmp_path / "run", load_config(path))


def test_parts_come_after_what_they_need(run: Run) -> None:
    parts = parts_of(run)
    names = [part.name for part in parts]
    assert len(set(names)) == len(names)
    assert sum(part.trains for part in parts) == 2 * (2 * 3 + len(run.variants))
    for i, part in enumerate(parts):
        assert part.after <= set(names[:i])
        assert all(name.startswith(f"seed {part.seed}:") for name in part.after)
    by_name = {part.name: part for part in parts}
    assert by_name["seed 3: fm (early)"].after == by_name["seed 3: fm (train)"].after == set()
    assert "seed 3: fm (train)" in by_name["seed 3: fm (full)"].after
    windows = ("early", "train")
    models = {f"seed 0: {model} ({window})" for model in ("lr", "fm") for window in windows}
    assert by_name["seed 0: sample-selector"].after == models
    assert by_name["seed 0: user-finetuned-plain"].after == models
    assert by_name["seed 0: metaselector"].after == models | {"seed 0: sample-selector"}
    fair = "seed 0: user-finetuned"
    assert by_name[fair + "-residuals"].after == models | {fair}
    every = models | {f"seed 0: {model} (full)" for model in ("lr", "fm")}
    assert by_name["seed 0: test base models, combined"].after == every
    assert by_name["seed 0: test user-finetuned"].after == every | {fair}
    joint = every | {"seed 0: metaselector"}
    assert by_name["seed 0: support curve of metaselector"].after == joint
    assert by_name["seed 0: support curve of not-adapted"].after == joint


def test_what_others_wait_for_starts_first(run: Run) -> None:
    """The searches for the fair rivals of all seeds begin before what fills the time meanwhile."""
    parts = parts_of(run)
    names = [part.name for part in parts if part.trains]
    assert names == [part.name for part in parts[: len(names)]]
    kinds = [part.kind for part in parts[len(names) :] if part.seed == 3]
    assert kinds == sorted(kinds, key=("support curve", "combine", "predict").index)
    bases = [name for name in names if name.endswith(("(early)", "(train)"))]
    refits = [name for name in names if name.endswith("(full)")]
    starts = [
        f"seed {seed}: {name}" for name in ("sample-selector", "user-finetuned") for seed in (0, 3)
    ]
    others = [
        f"seed {seed}: {variant}"
        for seed in (0, 3)
        for variant in reversed(run.variants)
        if variant not in ("sample-selector", "user-finetuned")
    ]
    assert names == [*bases, *starts, *others, *refits]

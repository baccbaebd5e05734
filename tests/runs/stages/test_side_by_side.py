"""Parts side by side: the same numbers as one after another, and errors, kills and order."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from metaselector.common.errors import ConfigError, UserError
from metaselector.common.progress import Silent
from metaselector.config import Config, load_config
from metaselector.runs.run import Run
from metaselector.runs.stage_costs import read_stages
from metaselector.runs.stages.parts import parts_of
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.reproduce import reproduce
from metaselector.runs.stages.side_by_side import SideBySide, side_by_side

SMALL = """
seeds: [0, 3]
threads: 1
base_models:
  lr: {pretrain: {epochs: 1}}
  fm: {pretrain: {epochs: 1}}
adapt: {support_size: 5}
selector: {epochs: 1}
meta_train: {epochs: 1}
paper: {epochs: 1}
evaluate: {resamples: 5}
"""


def _config(folder: Path, jobs: int) -> Config:
    path = folder / "small.yaml"
    path.write_text(SMALL)
    return load_config(path, changes={"jobs": jobs})


class _Heard(Silent):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.logged: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def skipped(self, description: str) -> None:
        self.lines.append(f"skipped {description}")

    def log(self, part: str, values: Any) -> None:
        self.logged.append(part)


@pytest.fixture(scope="module")
def functions() -> Iterator[ModuleType]:
    """A module that other processes can import; in `tests` they cannot, as peers install one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
        yield importlib.import_module("side_functions")


@pytest.fixture(scope="module")
def prepared(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A prepared run of two processes."""
    folder = tmp_path_factory.mktemp("side-by-side")
    run = Run(folder / "run", _config(folder, 2))
    prepare_run(run, write_world(folder / "raw"), folder)
    return run


@pytest.fixture(scope="module")
def processes(prepared: Run, functions: ModuleType) -> Iterator[tuple[SideBySide, _Heard]]:
    heard = _Heard()
    with side_by_side(prepared, heard) as side:
        yield side, heard


def test_workers_of_one_model_are_refused(
    prepared: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"^jobs=2: cannot be combined with --workers"):
        reproduce(prepared, None, tmp_path, Silent())


def test_values_by_part(
    processes: tuple[SideBySide, _Heard], prepared: Run, functions: ModuleType
) -> None:
    n = len(prepared.dataset)
    parts = [functions.Described(f"seed {seed}", seed, "combine") for seed in (0, 3)]
    assert processes[0].do(parts) == {"seed 0": (0, 1, n), "seed 3": (3, 1, n)}


def test_what_needs_another_comes_after_it(
    processes: tuple[SideBySide, _Heard], functions: ModuleType
) -> None:
    side, heard = processes
    heard.lines.clear()
    first = functions.Described("first", 0, "combine", after=frozenset({"not among these"}))
    then = functions.Described("then", 3, "combine", after=frozenset({"first"}))
    assert list(side.do([then, first])) == ["first", "then"]
    assert [line.split()[0] for line in heard.lines] == ["first", "then"]


def test_a_mistake_keeps_its_one_line(
    processes: tuple[SideBySide, _Heard], functions: ModuleType
) -> None:
    with pytest.raises(UserError, match=r"^seed 0 is no good$"):
        processes[0].do([functions.Mistaken("wrong", 0, "combine")])


def test_a_killed_process_is_one_line(prepared: Run, functions: ModuleType) -> None:
    with pytest.raises(UserError, match="a process was killed"):  # noqa: SIM117
        with side_by_side(prepared, Silent()) as side:
            side.do([functions.Killed("dies", 0, "combine")])


def test_after_a_mistake_what_others_do_is_saved(prepared: Run, functions: ModuleType) -> None:
    """Also while the process that made it has nothing to do."""
    busy = functions.Stopped("busy", 0, "pretrain")
    mistake = functions.Mistake("wrong", 3, "combine")
    with pytest.raises(UserError, match=r"^no good$"):  # noqa: SIM117
        with side_by_side(prepared, Silent()) as side:
            side.do([busy, mistake])
    assert (prepared.directory / "saved-0").exists()


def test_results_equal_those_of_one_after_another(
    write_world: Callable[..., Path], tmp_path: Path
) -> None:
    """Bit for bit: checkpoints, predictions, and what is computed from them user by user."""
    raw, heard = write_world(tmp_path / "raw"), _Heard()
    threads = torch.get_num_threads()
    for name, jobs in (("alone", 1), ("beside", 2)):
        torch.set_num_threads(1)
        run = Run(tmp_path / name, _config(tmp_path, jobs))
        reproduce(run, raw, tmp_path, heard if jobs == 2 else Silent())
    torch.set_num_threads(threads)
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    tables = ("results", "differences", "support_curve", "support_curve_differences", "rates")
    files = (*(f"{name}.csv" for name in (*tables, "rivals")), "predictions.parquet")
    for file in (*files, "weights.parquet"):
        assert (alone / file).read_bytes() == (beside / file).read_bytes(), file
    tensors = sorted(path.relative_to(alone) for path in alone.rglob("*.safetensors"))
    parts = parts_of(run)
    assert len(tensors) == sum(part.trains for part in parts)
    assert tensors == sorted(path.relative_to(beside) for path in beside.rglob("*.safetensors"))
    for path in tensors:
        assert _arrays(alone / path) == _arrays(beside / path)
    assert sum("seed 3: fm (full)" in line for line in heard.lines) == 1
    assert "seed 0: pretrain lr (train)" in heard.logged
    stages = [read_stages(folder) for folder in (alone, beside)]
    of_seeds = [table.dropna(subset="seed")["stage"].tolist() for table in stages]
    assert of_seeds[0] == of_seeds[1]
    assert stages[1]["peak_mb"].notna().all()
    assert {"evaluate", "support curve", "train and test side by side"} < set(stages[1]["stage"])
    with side_by_side(run, heard) as side:
        for train, kind in ((side.pretrain, "pretrain"), (side.meta_train, "meta-train")):
            heard.lines.clear()
            train()
            assert len(heard.lines) == sum(part.kind == kind for part in parts)
            assert all(line.startswith("skipped ") for line in heard.lines)


def _arrays(path: Path) -> dict[str, bytes]:
    from safetensors.numpy import load_file

    return {name: np.ascontiguousarray(value).tobytes() for name, value in load_file(path).items()}

"""What each stage of a run costs: seconds and peak memory, kept in ``stages.csv``."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from metaselector.common.errors import DataError
from metaselector.common.files import write_text
from metaselector.common.progress import Advance, Progress
from metaselector.data.splitting.protocol import WINDOWS
from metaselector.runs.run import Run
from metaselector.training.distributed import workers

STAGES_FILE = "stages.csv"
COLUMNS = ("stage", "seed", "seconds", "peak_mb")
_KINDS = {"stage": "str", "seed": "Int64", "seconds": "float64", "peak_mb": "float64"}
_LEAST = 0.005  # seconds; less is written as 0
_OF_SEED = re.compile(r"seed (\d+): (.*)", re.DOTALL)


class Measured:
    """Passes progress on, and writes what each task costs to ``stages.csv`` of a directory.

    Without a directory, costs are only kept as :attr:`costs`, for another process to
    :meth:`include`.

    A task that occurs several times, such as one per support size, has one line: the sum of its
    seconds and its highest peak. Lines of earlier commands are kept until the stage is made again,
    so that the costs of reused models stay. Tasks that fail leave no line.

    ``peak_mb`` is the process's peak resident memory during the task, in millions of bytes, data
    and libraries included. Where the peak cannot be reset (outside Linux), it is the highest since
    the process began. Memory of a GPU does not count.

    Attributes:
        costs: seconds and peak of each task, by its description.

    Example:
        >>> import tempfile
        >>> from metaselector.common.progress import Silent
        >>> folder = Path(tempfile.mkdtemp())
        >>> with Measured(Silent(), folder).task("seed 3: train metaselector", 1) as advance:
        ...     advance()
        >>> read_stages(folder)[["stage", "seed"]].to_numpy().tolist()
        [['train metaselector', 3]]
    """

    def __init__(self, progress: Progress, directory: Path | None) -> None:
        self._progress, self._directory = progress, directory
        self.costs: dict[str, tuple[float, float]] = {}
        self._open: list[float] = []  # highest peak so far of each task that is under way

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        self._note_peak()
        self._open.append(math.nan)
        reset_peak()
        started = time.perf_counter()
        try:
            with self._progress.task(description, total) as advance:
                yield advance
        finally:
            self._note_peak()
            peak = self._open.pop()
        self.include({description: (time.perf_counter() - started, peak)})

    def include(self, costs: Mapping[str, tuple[float, float]]) -> None:
        """Add seconds and peaks of tasks, by description; other processes may have done them."""
        for description, (seconds, peak) in costs.items():
            before = self.costs.get(description, (0.0, math.nan))
            self.costs[description] = before[0] + seconds, _higher(before[1], peak)
        if costs and self._directory is not None:
            self._write(self._directory)

    def skipped(self, description: str) -> None:
        self._progress.skipped(description)

    def note(self, text: str) -> None:
        self._progress.note(text)

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        self._progress.log(part, values)

    def _note_peak(self) -> None:
        """Tell the tasks that are under way: a peak that an inner task resets counts for all."""
        peak = peak_mb()
        self._open = [_higher(each, peak) for each in self._open]

    def _write(self, directory: Path) -> None:
        lines = [(*_named(each), *costs) for each, costs in self.costs.items()]
        table = _frame(lines)
        kept = read_stages(directory)
        known = set(zip(table["stage"], table["seed"].fillna(-1), strict=True))
        again = [key in known for key in zip(kept["stage"], kept["seed"].fillna(-1), strict=True)]
        kept = kept[[not each for each in again]]
        save_stages(directory, pd.concat([kept, table]) if len(kept) else table)


def measured(run: Run, progress: Progress) -> Progress:
    """Return `progress` with the costs of its tasks written to the run's directory.

    Of several workers, only the main one writes.
    """
    if isinstance(progress, Measured) or not workers.is_main():
        return progress
    return Measured(progress, run.directory)


def read_stages(directory: Path) -> pd.DataFrame:
    """Read ``stages.csv`` of a directory, with the columns :data:`COLUMNS`; empty without one.

    Raises:
        DataError: the file is damaged.
    """
    path = directory / STAGES_FILE
    if not path.exists():
        return _frame([])
    try:
        found = pd.read_csv(path, keep_default_na=False, na_values=[""])
        return found[list(COLUMNS)].astype(_KINDS)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(path, f"damaged ({reason}); delete it") from error


def save_stages(directory: Path, table: pd.DataFrame) -> None:
    """Write ``stages.csv``: seconds to the hundredth, memory to the million bytes."""
    text = table.assign(seconds=table["seconds"].round(2), peak_mb=table["peak_mb"].round(0))
    write_text(directory / STAGES_FILE, text[list(COLUMNS)].to_csv(index=False))


def complete_stages(run: Run) -> pd.DataFrame:
    """The stages of an evaluated run in the order in which they run.

    Seconds of trainings come from their checkpoints, which count interrupted commands too. A
    training that was measured by no command still has a line, without its memory, unless it took
    no time, as that of an untrained row.

    Raises:
        CheckpointError: a checkpoint is missing, or was trained with different settings.
    """
    found = read_stages(run.directory)
    peaks = {
        (str(stage), None if pd.isna(seed) else int(seed)): float(peak)
        for stage, seed, peak in zip(found["stage"], found["seed"], found["peak_mb"], strict=True)
    }
    records = run.checkpoints
    seconds: dict[tuple[str, int | None], float] = {}
    for seed in run.config.seeds:
        for name in run.trained_models:
            for window in WINDOWS:
                of_base = records.base_record(name, window, seed).seconds
                seconds[f"pretrain {name} ({window})", seed] = of_base
        for variant in run.variants:
            seconds[f"train {variant}", seed] = records.learned_record(variant, seed).seconds
    trained = [
        (*key, took, peaks.get(key, math.nan))
        for key, took in seconds.items()
        if key in peaks or took >= _LEAST
    ]
    others = [
        line
        for line in found.itertuples(index=False, name=None)
        if pd.isna(line[1])  # of all seeds
        or (line[1] in run.config.seeds and (line[0], int(line[1])) not in seconds)
    ]
    first = [line for line in others if line[0] == "prepare data"]
    last = [line for line in others if line[0] != "prepare data"]
    return _frame([*first, *trained, *last])


def reset_peak() -> None:
    """Set the process's peak memory to what it holds now; does nothing where that is impossible."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_mb() -> float:
    """Peak resident memory since the last :func:`reset_peak`, in millions of bytes.

    nan where the system does not tell.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # on Windows
        return math.nan
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / 1e6 if sys.platform == "darwin" else highest * 1024 / 1e6


def _named(description: str) -> tuple[str, int | None]:
    """``seed 0: pretrain lr (early)`` as stage and seed; without a seed, None."""
    found = _OF_SEED.fullmatch(description)
    return (description, None) if found is None else (found[2], int(found[1]))


def _frame(lines: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(_KINDS)


def _higher(a: float, b: float) -> float:
    """The larger number; a nan does not count."""
    return b if math.isnan(a) else a if math.isnan(b) else max(a, b)

"""How fast raw files are prepared and prepared data is read, compared with FuxiCTR.

``python -m benchmarks.prepare_speed --json FILE``, after ``make benchmark-peers``. ``--only``
chooses among four parts:

- *ml1m*: MovieLens-1M, or synthetic files like it, prepared by the command line; the whole process
  is timed.
- *20m*: 20 million clicks with 12 features, as CSV and as Parquet, likewise; then opening the
  prepared data in fresh processes.
- *episodes*: an epoch of meta-batches from that data.
- *fuxictr*: MovieLens-100K prepared by FuxiCTR as described in :mod:`benchmarks.fuxictr_peer` and
  by our command line, both in one process that has run them before.
"""

from __future__ import annotations

import json as jsons
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import fuxictr_peer, measure, movielens
from benchmarks.command import (
    DataOption,
    JsonOption,
    RepeatsOption,
    new_app,
    print_figures,
    print_table,
    run,
)
from benchmarks.measure import Cost
from benchmarks.synthetic_log import FORMATS, check_room, write_log
from benchmarks.synthetic_movielens import write_movielens_1m
from metaselector.cli import app as metaselector
from metaselector.common.errors import UserError

PARTS = ("ml1m", "20m", "episodes", "fuxictr")
ROWS = 20_000_000
OPENINGS = 5
OPENING = ("verify", "open", "first_batch")
WARM = 50
"""Meta-batches after which memory should no longer grow."""
TARGETS = {
    "ml1m_seconds": "≤ 4",
    "ml1m_peak_mb": "≤ 1,000",
    "ml1m_size_mb": "≤ 120",
    "rows_per_second_20m": "≥ 450,000",  # from Parquet 600,000
    "peak_mb_20m": "≤ 1,500",
    "open_seconds_20m": "≤ 0.5",
    "episode_users_per_second": "≥ 20,000",
    "episode_memory_growth_mb": "flat",
    "over_fuxictr": "≥ 3",
}

app = new_app()
Raw = dict[str, Any]


def prepare(dataset: str, directory: Path, *options: str) -> Cost:
    """Prepare `dataset` in a new run `directory` by the command line."""
    shutil.rmtree(directory, ignore_errors=True)
    command = ["data", "prepare", "--dataset", dataset, "--run", str(directory), *options]
    return measure.cost([sys.executable, "-m", "metaselector", *command])


def size_mb(directory: Path) -> float:
    """Megabytes (10^6 bytes) of the files below `directory`."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6


def measure_ml1m(own: Path | None, work: Path, repeats: int) -> Raw:
    """Prepare MovieLens-1M.

    Args:
        own: path of the official files; if None, synthetic files are written.
    """
    source = own or work / "ml-1m"
    if own is None and not source.exists():
        write_movielens_1m(source)
    directory = work / "run-ml1m"
    costs = [
        prepare("movielens-1m", directory, "--data", str(source.resolve())) for _ in range(repeats)
    ]
    raw = _raw(costs, directory) | {"synthetic": own is None}
    shutil.rmtree(directory)
    return {"ml1m": raw}


def measure_log(parts: tuple[str, ...], work: Path, rows: int, repeats: int) -> Raw:
    """Prepare the log of clicks and read it: parts *20m* and *episodes*."""
    log, directory = work / f"log-{rows}", work / "run-log"
    check_room(work, rows)
    if not log.exists():
        print(f"writing a log of {rows:,} rows", file=sys.stderr)
        write_log(log, rows)
    # Each run replaces the one before to save disk space; the last one, Parquet's, is read.
    formats = FORMATS if "20m" in parts else FORMATS[-1:]
    turns = max(1, repeats // 2) if "20m" in parts else 1
    costs: dict[str, list[Cost]] = {name: [] for name in formats}
    for _ in range(turns):
        for name in formats:
            costs[name].append(prepare(str(log / name / "log.yaml"), directory))
    raw: Raw = {"rows": rows}
    if "20m" in parts:
        opened = [read("open", directory / "data") for _ in range(OPENINGS)]
        # A few clicks repeat an earlier one by chance and are dropped.
        if not 0.9999 * rows < opened[0]["rows"] <= rows:
            raise RuntimeError(f"only {opened[0]['rows']} of {rows} rows were prepared")
        raw |= {name: _raw(found, directory) for name, found in costs.items()}
        raw |= {key: [each[key] for each in opened] for key in OPENING}
    if "episodes" in parts:
        raw["epoch"] = read("epoch", directory / "data")
    shutil.rmtree(directory)
    return raw


def read(task: str, directory: Path) -> Raw:
    """Results of :mod:`benchmarks.prepared_reading` in a separate process."""
    command = [sys.executable, "-m", "benchmarks.prepared_reading", task, str(directory)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: Raw = jsons.loads(done.stdout)
    return found


def measure_fuxictr(own: Path | None, work: Path, repeats: int) -> Raw:
    """Prepare MovieLens-100K by FuxiCTR and by ours, in turns.

    Args:
        own: path of your own copy of the raw files.
    """
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        tasks = fuxictr_peer.tasks(movielens.load(own), folder)
        tasks["ours"] = partial(_prepare_here, movielens.files(own), folder / "run")
        with fuxictr_peer.started_ray():
            return {"ml100k_seconds": measure.interleaved(tasks, repeats=repeats, warm_up=1)}


def _prepare_here(source: Path, directory: Path) -> None:
    """Run the command line in this process."""
    command = ["data", "prepare", "--data", str(source), "--run", str(directory)]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        metaselector(command, standalone_mode=False)


def _raw(costs: list[Cost], directory: Path) -> Raw:
    return {
        "seconds": [cost.seconds for cost in costs],
        "peak_mb": [cost.peak_mb for cost in costs],
        "size_mb": size_mb(directory / "data"),
    }


def figures(raw: Raw) -> dict[str, float | None]:
    """The published figures; None for parts that were not measured.

    Times are medians, memory is the highest peak. The worse of the log's two formats counts.
    """
    found: dict[str, float | None] = dict.fromkeys(TARGETS)
    if "ml1m" in raw:
        found["ml1m_seconds"] = measure.median(raw["ml1m"]["seconds"])
        found["ml1m_peak_mb"] = max(raw["ml1m"]["peak_mb"])
        found["ml1m_size_mb"] = raw["ml1m"]["size_mb"]
    if "open" in raw:
        rates = {name: raw["rows"] / measure.median(raw[name]["seconds"]) for name in FORMATS}
        peaks = {name: max(raw[name]["peak_mb"]) for name in FORMATS}
        found["rows_per_second_20m"], found["peak_mb_20m"] = (
            min(rates.values()),
            max(peaks.values()),
        )
        found |= {f"rows_per_second_20m_{name}": rate for name, rate in rates.items()}
        found |= {f"peak_mb_20m_{name}": peak for name, peak in peaks.items()}
        found["size_mb_20m"] = raw[FORMATS[-1]]["size_mb"]
        found["verify_seconds_20m"] = measure.median(raw["verify"])
        found["open_seconds_20m"] = measure.median(raw["open"])
        found["first_batch_seconds_20m"] = measure.median(raw["first_batch"])
    if "epoch" in raw:
        found["episode_users_per_second"] = measure.median(raw["epoch"]["users_per_second"])
        found["episode_memory_growth_mb"] = growth(raw["epoch"]["anonymous_mb"])
    if "ml100k_seconds" in raw:
        seconds = {name: measure.median(s) for name, s in raw["ml100k_seconds"].items()}
        found["over_fuxictr"] = seconds["fuxictr"] / seconds["ours"]
        found["over_fuxictr_without_ray"] = seconds["fuxictr without ray"] / seconds["ours"]
    return found


def growth(memory: list[float | None]) -> float | None:
    """Growth in megabytes from meta-batch :data:`WARM` (or the middle one) to the last."""
    first, last = memory[min(WARM, len(memory) // 2)], memory[-1]
    return None if first is None or last is None else last - first


def show(raw: Raw) -> None:
    """Print the cost of the processes, and the times compared with FuxiCTR."""
    known = {"MovieLens-1M": "ml1m", "log, CSV": "csv", "log, Parquet": "parquet"}
    costs = {
        title: [
            f"{measure.median(raw[name]['seconds']):,.1f}",
            f"{max(raw[name]['peak_mb']):,.0f}",
            f"{raw[name]['size_mb']:,.0f}",
        ]
        for title, name in known.items()
        if name in raw
    }
    if costs:
        print_table("prepared from", ["seconds", "peak MB", "size MB"], costs, "preparation")
    if "ml100k_seconds" in raw:
        times = raw["ml100k_seconds"]
        rows = {name: [f"{measure.median(seconds):,.2f}"] for name, seconds in times.items()}
        print_table("MovieLens-100K by", ["seconds"], rows, "compared with FuxiCTR")


def chosen(only: str) -> tuple[str, ...]:
    """The parts named in `only`.

    Raises:
        UserError: a part does not exist.
    """
    parts = tuple(filter(None, only.split(",")))
    for part in parts:
        if part not in PARTS:
            raise UserError(f"--only: unknown part '{part}'; choose from {', '.join(PARTS)}")
    return parts


@contextmanager
def working_folder(own: Path | None) -> Iterator[Path]:
    """`own`, which is kept, or a temporary folder."""
    if own is not None:
        own.mkdir(parents=True, exist_ok=True)
        yield own
        return
    with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
        yield Path(folder)


@app.command()
def main(
    json: JsonOption,
    data: DataOption = None,
    ml1m: Annotated[
        Path | None,
        typer.Option(help="Your own copy of MovieLens-1M.", show_default="synthetic files"),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for raw and prepared files; raw files are kept and reused.",
            show_default="a temporary one",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1_000, help="Rows in the log of clicks.")] = ROWS,
    only: Annotated[str, typer.Option(help="Parts to run, separated by commas.")] = ",".join(PARTS),
    repeats: RepeatsOption = 3,
) -> None:
    """Time preparation, opening and sampling."""
    parts = chosen(only)
    if "fuxictr" in parts:
        fuxictr_peer.check_installed()  # fail before half an hour of other work
    raw: Raw = {}
    with working_folder(work) as folder:
        if "ml1m" in parts:
            raw |= measure_ml1m(ml1m, folder, repeats)
        if "20m" in parts or "episodes" in parts:
            raw |= measure_log(parts, folder, rows, repeats)
        if "fuxictr" in parts:
            raw |= measure_fuxictr(data, folder, repeats)
    found = figures(raw)
    where = {"machine": measure.machine(), "versions": measure.versions(*fuxictr_peer.PACKAGES)}
    measure.save(json, found | {"raw": raw} | where)
    show(raw)
    print_figures(found, TARGETS)


if __name__ == "__main__":
    run(app)

"""Fuzz the readers of files, and kill commands, to find inputs that do harm.

    python -m benchmarks.fuzz --json benchmarks/results/reliability/fuzz.json

Inputs: a hundred thousand small files for all readers, damaged, odd or hostile. Damages: a thousand
damaged files of prepared data, models, checkpoints and snapshots. Kills: commands that are killed
at a random moment and run again. Each must end in success with the right numbers or in a
``UserError``, within 5 seconds and 500 MB. Each defect is printed once, with the command that
reproduces it, and inputs that reveal one are kept. The exit code is 1 if there is a defect. Linux
only.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before importing torch: one core per process

import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from benchmarks.command import new_app, print_table
from benchmarks.command import run as run_app
from benchmarks.fuzz import world as worlds
from benchmarks.fuzz.catalogue import catalogue
from benchmarks.fuzz.pool import Job, try_all
from benchmarks.fuzz.summary import Summary, save
from benchmarks.fuzz.target import GROUPS, Target, shares
from metaselector.common.errors import UserError, nearest
from metaselector.common.progress import Bars

PIECE = 50
"""Inputs that a process gets at once."""

app = new_app()


@app.command()
def main(
    inputs: Annotated[int, typer.Option(min=0, help="Number of files for readers.")] = 100_000,
    damaged: Annotated[int, typer.Option(min=0, help="Number of saved files to damage.")] = 1_000,
    kills: Annotated[int, typer.Option(min=0, help="Number of commands to kill.")] = 200,
    seconds: Annotated[
        float | None,
        typer.Option(help="Stop trying inputs after this time.", show_default="no limit"),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Only this kind of input; may be repeated.")
    ] = None,
    only: Annotated[
        list[int] | None, typer.Option(help="Only the input of --target with this number.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the inputs.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Number of processes.")] = os.cpu_count()
    or 1,
    world: Annotated[
        Path | None,
        typer.Option(help="Folder that an earlier call filled, or an empty one."),
    ] = None,
    findings: Annotated[
        Path, typer.Option(help="Folder to keep inputs that reveal a defect in.")
    ] = Path("runs/fuzz"),
    json: Annotated[
        Path | None,
        typer.Option("--json", help="JSON file to write the figures to.", show_default="none"),
    ] = None,
) -> None:
    """Try odd, damaged and hostile files and killed commands; exit with 1 if any does harm."""
    with tempfile.TemporaryDirectory(prefix="fuzz-world-") as scratch:
        place = (Path(scratch) if world is None else world).resolve()
        _build(place)
        targets = catalogue(place)
        chosen = _chosen(targets, target)
        summary = Summary(targets, seed, findings.resolve())
        totals = dict(zip(GROUPS, (inputs, damaged, kills), strict=True))
        end = time.monotonic() + (float("inf") if seconds is None else seconds)
        found: dict[str, Any] = {}
        for group, total in totals.items():
            members = [t for t in chosen if t.group == group]
            jobs = _jobs(shares(members, total), only or ())
            if not jobs or time.monotonic() >= end:
                continue
            started = time.monotonic()
            with Bars().task(group, sum(len(job.numbers) for job in jobs)) as advance:
                pending = itertools.takewhile(lambda job: time.monotonic() < end, jobs)
                for tried in try_all(pending, catalogue, place, seed=seed, processes=processes):
                    line = summary.add(tried)
                    if line:
                        print(line, flush=True)
                    advance()
            minutes = (time.monotonic() - started) / 60
            found[group] = {**summary.figures(group), "minutes": round(minutes, 1)}
    if found:
        _print(found)
    for defect, count in summary.defects.most_common():
        print(f"{count:6,} × {defect}")
    if json is not None:
        save(json, found)
    if summary.defects:
        raise typer.Exit(1)


def _build(place: Path) -> None:
    """Build the world in a separate process, so this one stays free of threads."""
    place.mkdir(parents=True, exist_ok=True)
    if not any(place.iterdir()):
        process = multiprocessing.get_context("spawn").Process(target=worlds.build, args=(place,))
        process.start()
        process.join()
        if process.exitcode:
            raise UserError(f"{place}: building the world failed; see the traceback above")


def _chosen(targets: Mapping[str, Target], names: list[str] | None) -> list[Target]:
    for name in names or ():
        if name not in targets:
            raise UserError(f"--target {name}: unknown target; {nearest(name, targets)}")
    return [target for name, target in targets.items() if not names or name in names]


def _jobs(counts: Mapping[str, int], only: Sequence[int]) -> list[Job]:
    """The inputs in pieces in random order, so all kinds advance together."""
    if only:
        return [Job(name, tuple(only)) for name in counts]
    pieces = [
        Job(name, tuple(range(first, min(first + PIECE, count))))
        for name, count in counts.items()
        for first in range(0, count, PIECE)
    ]
    Random(0).shuffle(pieces)
    return pieces


def _print(found: Mapping[str, Any]) -> None:
    headings = {"tried": "tried", "success": "success", "refused": "refused", "findings": "found"}
    headings |= {"worst_seconds": "most s", "worst_mb": "most MB"}
    rows = {
        name: [f"{figures[column]:,}" for column in headings]
        for group in found.values()
        for name, figures in group["targets"].items()
    }
    print_table("target", [*headings.values()], rows, "outcomes")


if __name__ == "__main__":
    run_app(app)

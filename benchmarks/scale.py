"""What every stage costs on logs of growing length, from the raw file to predictions for users.

    python -m benchmarks.scale --rows 1000000 --rows 20000000

writes ``benchmarks/results/scale/scale.json`` and ``scale.md``. A synthetic log of clicks with
twelve features goes through all commands, trained for one epoch each. Every command is a process of
its own, so seconds, peak memory and disk space are its own. Those that can start ``--jobs``
processes do; what these hold counts together.

Figures are saved after each stage. A command that was interrupted begins the stage anew that it was
at, as long as its folder of work is there; sizes that are complete are not measured again without
``--again``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks import measure, scale_page
from benchmarks.command import ConfigOption, new_app, published_command, run
from benchmarks.prepare_speed import size_mb
from benchmarks.synthetic_log import write_log, write_users
from metaselector.common.files import write_text
from metaselector.runs.stage_costs import read_stages

SIZES = (1_000_000, 20_000_000)
USERS = 100_000
"""Users that are predicted."""
JOBS = 1
TRAINS = ("pretrain", "meta-train")
_LOCAL = {"--work": True, "--keep": False, "--again": False}  # options that change no figure

app = new_app()
Figures = dict[str, Any]


class Size(NamedTuple):
    """A log of `rows` rows, the folder that everything made from it is in, and processes."""

    rows: int
    folder: Path
    jobs: int = 1

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def stages(self, config: Path) -> Iterator[tuple[str, list[str], Path]]:
        """Name, arguments of ``metaselector``, and the folder that grows, in order."""
        here, saved, out = (str(path) for path in (self.run, self.saved, self.predicted))
        log = str(self.folder / "log" / "csv" / "log.yaml")
        given = ["--dataset", log, "--run", here, "--config", str(config)]
        yield "prepare", ["data", "prepare", *given], self.run
        jobs = ["--jobs", str(self.jobs)]
        for stage in TRAINS:
            yield stage, [stage, "--run", here, *jobs], self.run
        workers = ["--workers", str(self.jobs)] if self.jobs > 1 else []
        yield "evaluate", ["evaluate", "--run", here, *workers], self.run
        yield "analyse", ["analyse", "--run", here], self.run
        yield "report", ["report", here], self.run
        yield "save", ["save", "--run", here, "--output", saved], self.saved
        asked = [f"{self.folder / 'users' / name}.parquet" for name in ("history", "candidates")]
        given = ["--history", asked[0], "--candidates", asked[1], "--output", out]
        yield "predict", ["predict", "--run", saved, *given], self.predicted.parent

    @property
    def saved(self) -> Path:
        return self.folder / "saved"

    @property
    def predicted(self) -> Path:
        return self.folder / "predicted" / "predictions.parquet"


STAGES = tuple(name for name, _, _ in Size(0, Path()).stages(Path()))


def cost_of(arguments: list[str]) -> measure.Cost:
    """Run ``metaselector`` with `arguments` as a process of its own."""
    return measure.cost([sys.executable, "-m", "metaselector", *arguments])


def parts(run: Path, stage: str) -> set[tuple[str, float, float]]:
    """Name, seconds and peak MB of what commands on a run did so far, as ``stages.csv`` has it.

    A command that measures its parts makes the system forget the peaks of earlier ones. Trainings
    count in the stages that train: evaluation corrects their seconds, which makes them look new.
    """
    found = read_stages(run).dropna(subset="peak_mb")
    if stage not in TRAINS:
        found = found[~found["stage"].str.match(r"(pretrain|train) ")]
    return set(zip(found["stage"], found["seconds"], found["peak_mb"], strict=True))


def forget_trained(run: Path, stage: str) -> None:
    """Remove what an interrupted `stage` trained: it would be reused, and its time not measured."""
    if stage not in TRAINS:
        return
    for path in run.glob("checkpoints/seed-*/*"):
        if path.name.startswith("base-") == (stage == "pretrain"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def measure_size(size: Size, config: Path, users: int, done: Figures) -> Iterator[Figures]:
    """Run the stages that `done` lacks; yields all figures after each.

    Stages that were measured count only if what they made is still in the folder.
    """
    if not size.run.exists():
        done = {}
    if not (size.folder / "log").exists():
        typer.echo(f"{size.rows:,} rows: writing the log", err=True)
        write_log(size.folder / "log", size.rows)
    if not (size.folder / "users").exists():
        write_users(size.folder / "users", users, size.rows)
    for name, arguments, grows in size.stages(config):
        if name in done:
            continue
        typer.echo(f"{size.rows:,} rows: {name}", err=True)
        grows.mkdir(parents=True, exist_ok=True) if name == "predict" else None
        forget_trained(size.run, name)
        before, known = size_mb(grows), parts(size.run, name)
        cost = cost_of(arguments)
        peaks = [cost.peak_mb, *(part[-1] for part in parts(size.run, name) - known)]
        figures = {
            "seconds": round(cost.seconds, 1),
            "peak_mb": round(max(peaks), 1),
            "disk_mb": round(size_mb(grows) - before, 1),
            "cpu_seconds": round(cost.cpu_seconds, 1),
            "load": round(os.getloadavg()[0], 1),
        }
        if name == "report":
            figures["page_mb"] = round((size.run / "report.html").stat().st_size / 1e6, 2)
        done = {**done, name: figures}
        yield done


def comparable(found: Figures, users: int, jobs: int) -> Figures:
    """The stages of ``scale.json``, unless they are of other numbers of users or processes."""
    same = (found.get("users"), found.get("jobs", 1)) == (users, jobs)
    stages: Figures = found.get("stages", {})
    return stages if same else {}


@app.command()
def main(
    rows: Annotated[
        list[int] | None,
        typer.Option(min=1_000, help="Rows of a log; repeatable.", show_default="1 and 20 million"),
    ] = None,
    users: Annotated[int, typer.Option(min=1, help="Users that are predicted.")] = USERS,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes that train and evaluate side by side.")
    ] = JOBS,
    config: ConfigOption = Path("benchmarks/configs/scale.yaml"),
    work: Annotated[Path, typer.Option(help="Folder for logs and runs.")] = Path("runs/scale"),
    output: Annotated[Path, typer.Option(help="Folder to write the results to.")] = Path(
        "benchmarks/results/scale"
    ),
    again: Annotated[bool, typer.Option("--again", help="Measure complete sizes again.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep logs and runs.")] = False,
) -> None:
    """Measure every stage on logs of growing length."""
    path = output / "scale.json"
    found: Figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    measured = comparable(found, users, jobs)
    for number in sorted(rows or SIZES):
        size = Size(number, work / str(number), jobs)
        done = {} if again else measured.get(str(number), {})
        if set(done) == set(STAGES):
            typer.echo(f"{number:,} rows: measured already; --again measures it again", err=True)
            continue
        if again:
            shutil.rmtree(size.run, ignore_errors=True)
        for figures in measure_size(size, config, users, done):
            measured[str(number)] = figures
            _save(path, measured, users, jobs)
        if not keep:
            shutil.rmtree(size.folder)
    write_text(output / "scale.md", scale_page.page(json.loads(path.read_text(encoding="utf-8"))))
    typer.echo(path)
    typer.echo(output / "scale.md")


def _save(path: Path, measured: Figures, users: int, jobs: int) -> None:
    """Write what was measured, sizes in order."""
    stages = {rows: measured[rows] for rows in sorted(measured, key=int)}
    where = {"machine": measure.machine(), "versions": measure.versions("pyarrow", "pandas")}
    measure.save(path, {"stages": stages, "users": users, "jobs": jobs, **where})
    text = json.loads(path.read_text(encoding="utf-8")) | {"command": published_command(_LOCAL)}
    write_text(path, json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    run(app)

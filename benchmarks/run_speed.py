"""How long a whole run takes, and how much faster it is with several processes.

    python -m benchmarks.run_speed --seeds 2
    python -m benchmarks.run_speed --jobs 2 --dataset movielens-1m --data ml-1m.zip
        --config benchmarks/configs/movielens-1m.yaml

times ``metaselector reproduce``, as a process of its own, from the raw files to the report. Every
process has one thread, so that all give the same numbers. The figures are added to ``run.json``
under a key for each data set and number of seeds.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from benchmarks import measure
from benchmarks.command import (
    ConfigOption,
    RawFilesOption,
    SeedsOption,
    SetOption,
    new_app,
    print_figures,
    run,
)

KEY = "whole_run"
TARGETS = {
    "seconds_2_jobs": "one seed: ≤ 75 on MovieLens-100K, ≤ 480 on MovieLens-1M",
    "faster": "≥ 1.8 with 2 jobs and 5 seeds",
}

app = new_app()
Figures = dict[str, Any]


def timed(arguments: Sequence[str], folder: Path) -> Figures:
    """Cost of a run in a new `folder`, and the seconds of its stages over all seeds."""
    command = [sys.executable, "-m", "metaselector", "reproduce", "--run", str(folder), *arguments]
    cost = measure.cost(command)
    return {
        "seconds": round(cost.seconds, 1),
        "cpu_seconds": round(cost.cpu_seconds, 1),
        "stages": stages(pd.read_csv(folder / "stages.csv")),
    }


def stages(costs: pd.DataFrame) -> dict[str, float]:
    """Seconds by stage, all windows and seeds together."""
    names = costs["stage"].str.replace(r" \(\w+\)$", "", regex=True)
    seconds = costs["seconds"].groupby(names, sort=False).sum()
    return {str(name): round(float(of), 1) for name, of in seconds.items()}


def figures(found: dict[str, Figures]) -> dict[str, float]:
    """Seconds by number of jobs, and how much faster the last one is than the first."""
    told = {
        f"{unit}_{count}_jobs": of[unit]
        for count, of in found.items()
        for unit in ("seconds", "cpu_seconds")
    }
    if len(found) > 1:
        seconds = [of["seconds"] for of in found.values()]
        told["faster"] = round(seconds[0] / seconds[-1], 2)
    return told


@app.command()
def main(
    json: Annotated[
        Path, typer.Option(help="JSON file to write the figures to, beside what it has.")
    ] = Path("benchmarks/results/speed/run.json"),
    dataset: Annotated[str, typer.Option(help="Data set, by name.")] = "movielens-100k",
    data: RawFilesOption = None,
    config: ConfigOption = Path("benchmarks/configs/tables.yaml"),
    settings: SetOption = None,
    seeds: SeedsOption = 1,
    jobs: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Processes; repeatable.", show_default="1 and 2"),
    ] = None,
) -> None:
    """Time whole runs."""
    arguments = ["--dataset", dataset, "--config", str(config), "--threads", "1"]
    arguments += [] if data is None else ["--data", str(data)]
    for setting in settings or ():
        arguments += ["--set", setting]
    for seed in range(seeds):
        arguments += ["--seed", str(seed)]
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
        for count in jobs or (1, 2):
            typer.echo(f"{dataset}, {seeds} seed(s), {count} job(s)", err=True)
            run_folder = Path(folder) / f"run-{count}"
            found[str(count)] = timed([*arguments, "--jobs", str(count)], run_folder)
    told = figures(found)
    about = {"raw": found, "machine": measure.machine(), "versions": measure.versions()}
    measure.save_in(json, f"{KEY}, {dataset}, seeds: {seeds}", told | about)
    print_figures(told, TARGETS)


if __name__ == "__main__":
    run(app)

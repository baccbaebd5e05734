"""Metrics by the number of support rows, from the models of a finished run.

    python -m benchmarks.support_curve --run runs/movielens-100k

writes ``benchmarks/results/support-curve/``: for each data set and protocol, metrics by seed, model
and number of rows, differences with 95 % intervals, a table and a figure.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer

from benchmarks import study
from benchmarks.command import OutputOption, new_app
from benchmarks.command import run as run_app
from metaselector.common.progress import Bars
from metaselector.config import load_config
from metaselector.data.preparation.origin import load_origin
from metaselector.report.figures.style import save
from metaselector.report.figures.support_curve import support_curve as draw
from metaselector.report.summary import Summary
from metaselector.report.support_curve import curve_summary
from metaselector.report.tables import markdown
from metaselector.runs import environment
from metaselector.runs.run import Run
from metaselector.runs.stages.support_curve import support_curve

app = new_app()


@app.command()
def main(
    run: Annotated[Path, typer.Option(help="Directory of a trained run, with any seeds.")] = Path(
        "runs/movielens-100k"
    ),
    output: OutputOption = Path("benchmarks/results/support-curve"),
) -> None:
    """Measure the models of a run with 0, 1, 2, … support rows of each user."""
    started = time.perf_counter()
    config = load_config(run / "config.yaml")
    torch.set_num_threads(config.threads)
    opened = Run(run, config)
    curve, differences = support_curve(opened, Bars())
    summary = summary_of(opened, curve, differences, environment.command())
    name = f"{opened.dataset.schema.dataset}-{config.protocol}"
    texts = {
        f"{name}.csv": curve.to_csv(index=False),
        f"{name}-differences.csv": differences.to_csv(index=False),
        f"{name}.md": markdown(summary),
    }
    described = study.describe(opened, started, opened.checkpoints.training_seconds())
    texts[f"{name}-environment.json"] = json.dumps(described, indent=1) + "\n"
    study.write_results(output, texts)
    save(draw(differences), output / f"{name}.png")
    typer.echo(output / f"{name}.png")


def summary_of(run: Run, curve: pd.DataFrame, differences: pd.DataFrame, command: str) -> Summary:
    """The table, whose title and notes say what limits the data."""
    protocol, origin = run.config.protocol, load_origin(run.data_directory)
    users = {"warm": "known users", "cold": "new users"}.get(protocol, protocol)
    data = run.dataset.schema.dataset if origin is None else origin.title
    title = f"{data}, {users}: metrics by number of support rows"
    found = curve_summary(curve, differences, title, command)
    return found if origin is None else found._replace(notes=[origin.limit, *found.notes])


if __name__ == "__main__":
    run_app(app)

"""How much the number of threads, which changes rounding only, moves the results of a run.

    python -m benchmarks.thread_counts

writes ``benchmarks/results/thread-counts/``: AUC and logloss of every row with each number of
threads, and how far they differ. Each run is a process of its own; finished ones are reused.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks import measure
from benchmarks.command import OutputOption, RunsOption, new_app, published_command, run
from benchmarks.study import write_results
from metaselector.common.files import read_json

METRICS = ("auc", "logloss")
_LOCAL = {"--runs": True, "--output": True}

app = new_app()


@app.command()
def main(
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Number of threads; repeatable.", show_default="1 and 2"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings.", show_default="the defaults")
    ] = None,
    runs: RunsOption = Path("runs"),
    output: OutputOption = Path("benchmarks/results/thread-counts"),
) -> None:
    """Make the same run with several numbers of threads, and compare the results."""
    places = {n: runs / f"threads-{n}" for n in threads or (1, 2)}
    found = {n: results(n, config, directory) for n, directory in places.items()}
    table = compare(found)
    described = read_json(next(iter(places.values())) / "environment.json")
    described["command"] = published_command(_LOCAL)
    texts = {"results.csv": table.to_csv(index=False), "summary.md": page(table, list(found))}
    write_results(output, texts, described)


def results(threads: int, config: Path | None, directory: Path) -> pd.DataFrame:
    """``results.csv`` of a run with so many threads, made if it is not there."""
    given = ["--run", str(directory), "--set", f"threads={threads}"]
    given += [] if config is None else ["--config", str(config)]
    typer.echo(f"{threads} threads: {directory}", err=True)
    measure.cost([sys.executable, "-m", "metaselector", "reproduce", *given])
    return pd.read_csv(directory / "results.csv")


def compare(found: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """One line per seed and row of the table.

    Returns:
        columns ``seed, model``, ``<metric>_<threads>``, and ``<metric>_range``, the largest of
        these minus the smallest.
    """
    parts = [
        table.set_index(["seed", "model"])[list(METRICS)].add_suffix(f"_{threads}")
        for threads, table in found.items()
    ]
    joined = pd.concat(parts, axis=1, sort=False)
    for metric in METRICS:
        of_metric = joined[[f"{metric}_{threads}" for threads in found]]
        joined[f"{metric}_range"] = of_metric.max(axis=1) - of_metric.min(axis=1)
    return joined.reset_index()


def page(table: pd.DataFrame, threads: Sequence[int]) -> str:
    """A table of logloss, with the rows that threads move most first."""
    title = "## The same run with " + " and ".join(map(str, threads)) + " threads"
    lines = [title, "", "| row | " + " | ".join(f"logloss, {n}" for n in threads) + " | range |"]
    lines.append("| --- |" + " ---: |" * (len(threads) + 1))
    for row in table.sort_values("logloss_range", ascending=False).to_dict("records"):
        cells = [f"{row[f'logloss_{n}']:.6f}" for n in threads]
        lines.append(
            f"| {row['model']} | " + " | ".join(cells) + f" | {row['logloss_range']:.1e} |"
        )
    lines += [
        "",
        f"Seeds {sorted(set(table['seed']))}. Command: `{published_command(_LOCAL)}`.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run(app)

"""The long tables: from raw data to the results over several seeds, kept in results/.

    python -m benchmarks.tables --dataset movielens-100k --protocol warm --seeds 5

writes ``benchmarks/results/movielens-100k-warm/``; ``--protocol cold`` tests new users, and
``--protocol global`` what comes after a date. Models that an interrupted run trained with the same
settings are reused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.command import ConfigOption, RawFilesOption, SeedsOption, new_app
from benchmarks.command import run as run_app
from metaselector.common.errors import UserError, nearest
from metaselector.common.files import write_text
from metaselector.common.progress import Bars
from metaselector.config import load_config
from metaselector.data.own.own_log import is_schema
from metaselector.runs.run import Run
from metaselector.runs.stages.reproduce import reproduce

TABLE = ("results.csv", "differences.csv", "summary.md", "summary.tex")
MADE_WITH = ("config.yaml", "environment.json")
PROTOCOLS = {
    "warm": (*TABLE, *MADE_WITH),
    "cold": ("support.csv", "summary.md", "summary.tex", *MADE_WITH),
    "global": (*TABLE, *MADE_WITH),
}
"""Files of a run to keep; also :data:`TABLE` for each support size, or for known and new users."""

CONFIG = Path(__file__).parent / "configs" / "tables.yaml"

app = new_app()


@app.command()
def main(
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set, as for `metaselector reproduce`.", show_default="movielens-100k"
        ),
    ] = None,
    protocol: Annotated[str, typer.Option(help=f"One of: {', '.join(PROTOCOLS)}.")] = "warm",
    seeds: SeedsOption = 5,
    run: Annotated[
        Path | None,
        typer.Option(help="Run directory.", show_default="runs/<dataset>-<protocol>"),
    ] = None,
    data: RawFilesOption = None,
    config: ConfigOption = CONFIG,
    output: Annotated[
        Path, typer.Option(help="Folder to write <dataset>-<protocol>/ with the results to.")
    ] = Path("benchmarks/results"),
) -> None:
    """Train and evaluate all models with several seeds; keep the tables and their settings."""
    if protocol not in PROTOCOLS:
        raise UserError(f"--protocol {protocol}: unknown protocol; {nearest(protocol, PROTOCOLS)}")
    changes: dict[str, Any] = {"seeds": list(range(seeds)), "protocol": protocol}
    changes |= {"dataset": dataset} if dataset else {}
    settings = load_config(config, changes=changes)
    torch.set_num_threads(settings.threads)
    # A schema for your own log is given as a path.
    of = Path(settings.dataset).stem if is_schema(settings.dataset) else settings.dataset
    name = f"{of}-{protocol}"
    made = Run(Path("runs") / name if run is None else run, settings)
    reproduce(made, data, Path("data"), Bars())
    folders = [
        evaluation_split.folder
        for evaluation_split in made.protocol.evaluation_splits
        if evaluation_split.folder != "."
    ]
    files = [f"{folder}/{file}" for folder in folders for file in TABLE]
    for file in (*PROTOCOLS[protocol], *files):
        text = (made.directory / file).read_text(encoding="utf-8")
        write_text(output / name / file, text)
        typer.echo(output / name / file)


if __name__ == "__main__":
    run_app(app)
